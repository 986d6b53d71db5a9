"""What the page's server answers to: a few addresses, and one socket."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib import resources
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import (
    APIRouter,
    FastAPI,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
    WebSocket,
)
from fastapi.responses import FileResponse, JSONResponse
from pydantic import ValidationError
from starlette.staticfiles import StaticFiles

from ringwatch.agent.dashboard.desk import Desk
from ringwatch.agent.dashboard.guard import Guard
from ringwatch.agent.dashboard.labels import Said
from ringwatch.agent.errors import LabelError, RingwatchError, TiledAwayError

__all__ = ["make_app"]

_STATIC = Path(str(resources.files("ringwatch.agent.dashboard") / "static"))
_WRONG_KEY_S = 0.5  # so long a wrong key takes, one after the other: few can be tried
_LONGEST = 1 << 14  # bytes of a label
_BINARY = "application/octet-stream"

Uid = Annotated[str, Query(min_length=1, max_length=300)]
Stream = Annotated[str, Query(max_length=300)]
Key = Annotated[str | None, Header(alias="X-Ringwatch-Key", max_length=300)]


def make_app(
    desk: Desk,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    *,
    local: bool,
    key: str = "",
) -> FastAPI:
    """The application.

    Parameters
    ----------
    desk : Desk
        Who knows what is asked for.
    lifespan : callable
        Of the server, see FastAPI.
    local : bool
        Whether only this machine reaches it.
    key : str
        With it people may say what they think of a frame; empty: nobody may.
    """
    # Its pages of documentation would be fetched from a CDN.
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, local=local)
    app.exception_handler(RingwatchError)(_tell_error)
    app.include_router(_reading(desk))
    app.include_router(_labelling(desk, key))
    app.mount("/static", StaticFiles(directory=_STATIC))
    return app


def _reading(desk: Desk) -> APIRouter:
    """What everybody may ask."""
    router = APIRouter()

    @router.get("/")
    def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html")

    @router.get("/favicon.ico")
    def icon() -> FileResponse:
        return FileResponse(_STATIC / "icon.svg", media_type="image/svg+xml")

    @router.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await desk.browsers.serve(socket)

    @router.get("/api/runs")
    async def runs(offset: Annotated[int, Query(ge=0, le=1 << 20)] = 0) -> Any:
        return await desk.list_runs(offset)

    @router.get("/api/run")
    async def run(uid: Uid, stream: Stream = "") -> Response:
        return Response(await desk.tell_run(uid, stream), media_type=_BINARY)

    @router.get("/api/frame")
    async def frame(
        uid: Uid,
        index: Annotated[int, Query(ge=0, lt=1 << 40)],
        stream: Stream = "",
        data_key: Stream = "",
    ) -> Response:
        told = await desk.tell_frame(uid, stream, data_key, index)
        return Response(told, media_type=_BINARY)

    return router


def _labelling(desk: Desk, key: str) -> APIRouter:
    """What people said of frames, and what those may say who have the key."""
    router = APIRouter()
    wrong = asyncio.Lock()

    async def check(given: str | None) -> None:
        if not key:
            raise HTTPException(
                403, "this page is for reading only: RINGWATCH_PAGE_KEY is not set"
            )
        # Escaped, as headers carry no letters but those of English.
        if not hmac.compare_digest(unquote(given or "").encode(), key.encode()):
            async with wrong:
                await asyncio.sleep(_WRONG_KEY_S)
            raise HTTPException(401, "wrong key: ask who runs the agent for it")

    @router.get("/api/labels")
    async def labels(uid: Uid) -> Any:
        takes = bool(key) and desk.keeps_labels
        return {"takes_labels": takes, "labels": await desk.labels_of(uid)}

    @router.post("/api/key")
    async def try_key(given: Key = None) -> Response:
        await check(given)
        return Response(status_code=204)

    @router.post("/api/labels")
    async def say(request: Request, given: Key = None) -> Any:
        await check(given)
        if int(request.headers.get("content-length") or _LONGEST + 1) > _LONGEST:
            raise HTTPException(413, "a label has a few lines, no more")
        try:
            said = Said.model_validate_json(await request.body())
        except ValidationError as error:
            raise HTTPException(422, str(error)[:500]) from error
        return await desk.label(said)

    return router


async def _tell_error(_: Request, error: Exception) -> JSONResponse:
    away = isinstance(error, TiledAwayError)
    told = {"detail": str(error), "tiled_away": away}
    wrong = 422 if isinstance(error, LabelError) else 404
    return JSONResponse(told, status_code=503 if away else wrong)
