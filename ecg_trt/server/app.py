"""The app: what it is made of, and its errors as problem documents."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from ecg_trt import __version__
from ecg_trt.errors import NOTICE, EcgTrtError
from ecg_trt.server.dispatch import Dispatcher, Pool
from ecg_trt.server.guard import Guard
from ecg_trt.server.problems import RequestError, problem_response
from ecg_trt.server.record_store import RecordStore
from ecg_trt.server.routes import router
from ecg_trt.server.service import Service
from ecg_trt.server.settings import ServerOptions
from ecg_trt.server.telemetry import Telemetry

_STATIC = Path(__file__).parent / "static"


def create_app(options: ServerOptions, pool: Pool, store: RecordStore) -> FastAPI:
    """Make the app.

    Args:
        options: of the server.
        pool: processes whose worker is `jobs.Worker`; closed by who opened it, after the app's end.
        store: of the records; closed by who opened it, after the pool, which may still write there.
    """
    dispatcher = Dispatcher(pool, options.processes, options.waiting)
    telemetry = Telemetry(lambda: dispatcher.waiting, lambda: len(store))
    service = Service(store, dispatcher, telemetry, options.max_pages)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        cleaner = asyncio.create_task(service.remove_expired())
        yield
        cleaner.cancel()
        await service.close()

    app = FastAPI(
        title="ecg_trt", version=__version__, description=f"Photos of paper ECGs in, millivolts out. {NOTICE}.",
        lifespan=lifespan, docs_url=None, redoc_url=None,
    )  # fmt: skip
    app.state.service, app.state.telemetry, app.state.options = service, telemetry, options
    app.add_middleware(Guard, options=options, count=telemetry.answered)
    _add_handlers(app)
    app.include_router(router)
    app.mount("/", StaticFiles(directory=_STATIC, html=True))
    return app


def _add_handlers(app: FastAPI) -> None:
    """Answer every error with a problem document."""

    @app.exception_handler(EcgTrtError)
    async def known(_: Request, error: EcgTrtError) -> JSONResponse:
        return problem_response(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return problem_response(
            RequestError(422, "The request is not valid", got=f"{place}: {first.get('input')!r}"[:200],
                         expected=first["msg"], hint="Send JSON with the header "
                         "Content-Type: application/json; /openapi.json describes every request.")
        )  # fmt: skip

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> JSONResponse:
        return problem_response(
            RequestError(error.status_code, "The request cannot be answered", got=str(error.detail),
                         expected="a path and a method of /openapi.json", hint="Check the address.",
                         headers=error.headers)
        )  # fmt: skip
