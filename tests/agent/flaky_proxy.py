"""A small HTTP proxy before a real Tiled server, that fails as it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

HOP = {"connection", "transfer-encoding", "content-length", "content-encoding", "host"}
Policy = Callable[[str, str, bytes], tuple[int, bool]]
"""Of method, path and body: status to answer (0: the server's), and whether the
request reaches the server all the same."""


class FlakyProxy:
    """Forwards to ``target`` what its ``policy`` lets through."""

    def __init__(self, target: str) -> None:
        self.policy: Policy = lambda *_: (0, True)
        self.failures = 0
        proxy, client = self, httpx.Client(timeout=30)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, forward = proxy.policy(self.command, self.path, body)
                headers, content = {}, b"{}"
                if forward:
                    kept = {
                        k: v for k, v in self.headers.items() if k.lower() not in HOP
                    }
                    kept["Host"] = self.headers["Host"]  # links lead back here
                    got = client.request(
                        self.command, target + self.path, content=body, headers=kept
                    )
                    headers, content = dict(got.headers), got.content
                    status = status or got.status_code
                if status >= 400 and not (forward and status == got.status_code):
                    proxy.failures += 1
                    headers, content = {"content-type": "application/json"}, b"{}"
                self.send_response(status)
                for key, value in headers.items():
                    if key.lower() not in HOP:
                        self.send_header(key, value)
                if status >= 400:  # Tiled leaves the socket of a bad greeting open
                    self.send_header("Connection", "close")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._client = client
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_port}"
        assert urlsplit(target).hostname == "127.0.0.1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._client.close()
