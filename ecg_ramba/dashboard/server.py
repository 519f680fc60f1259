"""The web server: FastAPI, on loopback unless told otherwise, with the built page and the API under ``/api``."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from ecg_ramba import __version__
from ecg_ramba.dashboard import routes_page, routes_predict, routes_recordings, routes_results, routes_signal
from ecg_ramba.dashboard.room import NOTICE, Room
from ecg_ramba.dashboard.security import Guard
from ecg_ramba.dashboard.settings import Settings
from ecg_ramba.dashboard.uploads import UploadError
from ecg_ramba.errors import UserError

DESCRIPTION = f"""{NOTICE} Every number is computed from the uploaded signal by the loaded model.

Requests other than GET need the header `X-ECG-RAMBA: 1`. Times are seconds from a recording's begin, amplitudes
millivolts; `null` is what cannot be measured. Errors are `{{"error": "a sentence"}}`."""

log = logging.getLogger(__name__)


def create_app(settings: Settings, room: Room | None = None) -> FastAPI:
    """The application.

    Parameters
    ----------
    settings : Settings
    room : Room, optional
        One that is open already, and is closed by whoever opened it; without it the application opens its own.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.room = room or Room(settings)
        app.state.room.events.start()
        if room is None:
            await run_in_threadpool(app.state.room.open)
        try:
            yield
        finally:
            app.state.room.events.close()
            if room is None:
                await run_in_threadpool(app.state.room.close)

    app = FastAPI(
        title="ECG-RAMBA reading room",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.page = routes_page.page_files(settings)
    for routes in (routes_recordings, routes_signal, routes_results, routes_predict, routes_page):
        app.include_router(routes.router)
    app.add_exception_handler(UploadError, lambda request, error: said(error.status, str(error)))
    app.add_exception_handler(UserError, lambda request, error: said(422, str(error)))
    app.add_exception_handler(HTTPException, lambda request, error: said(error.status_code, str(error.detail)))
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _mistake)
    app.add_middleware(Guard, host=settings.host, port=settings.port, token=settings.token)
    return app


def said(status: int, sentence: str) -> JSONResponse:
    """An error as the page gets it."""
    return JSONResponse({"error": sentence}, status)


async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path")) or "the request"
    return said(422, f"{where}: {first['msg']}")


async def _mistake(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    return said(500, "a mistake of the program; what happened is on the terminal where it was started")
