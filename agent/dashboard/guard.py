"""What is asked of each request before the page sees it, and told with each answer."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ringwatch.agent.wire.loopback import is_loopback

__all__ = ["Guard"]

_TOLD = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Guard:
    """Lets by what this page itself asks for, and nothing that another page makes.

    On the loopback the name in ``Host`` must be one of the loopback's: else any page
    in the same browser could have its own name lead here (DNS rebinding). Where there
    is an ``Origin``, it must be this page.

    Parameters
    ----------
    app : ASGI application
    local : bool
        Whether only this machine reaches the page.
    """

    def __init__(self, app: ASGIApp, *, local: bool) -> None:
        self._app, self._local = app, local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        why_not = self._refusal(Headers(scope=scope))
        if not why_not:
            told = _telling(send) if scope["type"] == "http" else send
            await self._app(scope, receive, told)
        elif scope["type"] == "http":
            answer = PlainTextResponse(why_not, status_code=403)
            await answer(scope, receive, _telling(send))
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": why_not})

    def _refusal(self, headers: Headers) -> str:
        host = headers.get("host", "")
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            name = ""
        if not name or (self._local and not is_loopback(name)):
            return (
                f"{host[:80]!r} is no name of this machine's own: open the page at "
                "127.0.0.1 or localhost\n"
            )
        origin = headers.get("origin")
        try:
            ours = origin is None or urlsplit(origin).netloc == host
        except ValueError:
            ours = False
        return "" if ours else "another page may not ask for this one\n"


def _telling(send: Send) -> Send:
    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _TOLD.items():
                headers[name] = value
        await send(message)

    return tell
