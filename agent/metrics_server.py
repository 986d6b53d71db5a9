"""Serves the metrics of one agent over HTTP, on the loopback unless told otherwise.

Beside ``/metrics``: ``/healthz`` says whether the worker runs, ``/readyz`` whether
frames that come now get their verdict. Each answers 200, or 503 where not, with the
reason as JSON; the rule is that of ``ringwatch status``.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.registry import Collector

from ringwatch.agent.errors import SettingsError
from ringwatch.agent.status_report import Report, report_of
from ringwatch.agent.wire.loopback import is_loopback

__all__ = ["MetricsServer", "host_and_port", "url_of"]

logger = logging.getLogger(__name__)

_ANSWERS: dict[str, Callable[[Report], bool]] = {
    "/healthz": lambda report: report.alive,
    "/readyz": lambda report: report.ready,
}
_PATIENCE_S = 10.0  # with a client that asks for nothing


class MetricsServer:
    """Prometheus's own HTTP server, in a daemon thread, with a registry of its own.

    Parameters
    ----------
    address : str
        ``host:port``, such as ``127.0.0.1:9578``; port 0 for any that is free.
    collector : Collector
        Asked at each request, in its thread.
    allow_remote : bool
        Whether other machines may read them.

    Attributes
    ----------
    url : str
        Where the metrics are.

    Raises
    ------
    SettingsError
        If the address is malformed, taken, or remote without ``allow_remote``.
    """

    def __init__(
        self, address: str, collector: Collector, *, allow_remote: bool = False
    ) -> None:
        host, port = host_and_port(address)
        if not (allow_remote or is_loopback(host)):
            raise SettingsError(
                f"metrics address {address!r} is not on the loopback interface; use "
                "127.0.0.1, or set allow_remote on a network you trust: whoever "
                "reaches the port can read them"
            )
        registry = CollectorRegistry()
        registry.register(collector)
        try:
            self._server, self._thread = start_http_server(port, host, registry)
        except OSError as error:
            raise SettingsError(
                f"metrics cannot be served at {address!r}: {error.strerror or error}; "
                "give each agent an address of this machine and a port of its own, or "
                "port 0 for any that is free"
            ) from error
        server: Any = self._server
        handler = server.RequestHandlerClass
        impatient = type("Handler", (handler,), {"timeout": _PATIENCE_S})
        server.RequestHandlerClass = impatient
        server.handle_error = _note_error
        self._thread.name = "ringwatch-metrics"
        self.url = url_of(host, self._server.server_port)
        server.set_app(_beside(server.get_app(), collector, self.url))

    def close(self) -> None:
        """Serve no more; closing twice is harmless."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


def _beside(metrics: Callable[..., Any], collector: Collector, url: str) -> Any:
    """The application of the metrics, with answers to probes beside them."""

    def application(
        environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        well = _ANSWERS.get(environ["PATH_INFO"])
        if well is None or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return metrics(environ, start_response)
        report = report_of(url, collector.collect())
        status = "200 OK" if well(report) else "503 Service Unavailable"
        told = {"ok": well(report), "state": report.state, "why": report.why}
        body = (json.dumps(told) + "\n").encode()
        start_response(
            status,
            [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
            ],
        )
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return application


def host_and_port(address: str, setting: str = "metrics") -> tuple[str, int]:
    """Host and port of ``host:port``, an IPv6 address in brackets.

    ``setting`` is the name under which a message blames it.

    Raises
    ------
    SettingsError
        Where it is malformed.
    """
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.netloc != address or "@" in address:
        raise SettingsError(
            f"{setting} = {address!r} is no address; expected host:port with a port up "
            "to 65535, such as 127.0.0.1:9578"
        )
    return host, port


def url_of(host: str, port: int) -> str:
    """Where this machine finds metrics that are served at ``host``."""
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    name = f"[{near}]" if ":" in near else near
    return f"http://{name}:{port}/metrics"


def _note_error(request: Any, client: Any) -> None:
    """A client that goes away, or never asks, is no error of ours."""
    logger.info("metrics: no answer to %s: %s", client, sys.exc_info()[1])
