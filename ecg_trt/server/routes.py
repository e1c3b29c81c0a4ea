"""Routes of the server: records, their files, and facts about the server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.datastructures import UploadFile

from ecg_trt import __version__
from ecg_trt.config import ReadOptions
from ecg_trt.corrections import Corrections
from ecg_trt.errors import NOTICE, OptionError
from ecg_trt.io.lazy import missing_module
from ecg_trt.io.readers import READERS
from ecg_trt.io.writers import WRITERS
from ecg_trt.io.writers.analysis_files import JSON_SUFFIX
from ecg_trt.layout import GAINS_MM_PER_MV, LAYOUTS, LEAD_WORDS, PAPER_SPEEDS_MM_PER_S, STRIPS
from ecg_trt.server.exports import Export
from ecg_trt.server.jobs import DRAWING, FLAT, OVERLAY, PHOTO, analysis_file
from ecg_trt.server.problems import RequestError
from ecg_trt.server.record_store import StoredRecord
from ecg_trt.server.schemas import (
    Health,
    Problem,
    ReadAgain,
    RecordAnswer,
    RecordsAnswer,
    answer_of,
    corrections_schema,
    read_options,
    upload_schema,
)
from ecg_trt.server.service import Service

router = APIRouter()

_MOST_FILES = 50  # In one request.
_LONGEST_WAIT_S = 120.0
_ANALYSIS_PICTURES = {kind: analysis_file(f".{kind}.png") for kind in ("analysis", "activation")}
_PICTURES = {"photo": PHOTO, "flat": FLAT, "overlay": OVERLAY, **_ANALYSIS_PICTURES}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in (
        (401, "No valid token"), (404, "No such record"), (409, "Not in this state"), (413, "Too large"),
        (422, "Not usable"), (429, "Too many requests"), (503, "Busy; see Retry-After"),
    )
}  # fmt: skip

Wait = Annotated[float, Query(ge=0, le=_LONGEST_WAIT_S, description="Seconds to wait for the result at most.")]


def _service(request: Request) -> Service:
    return request.app.state.service


@router.post("/v1/records", status_code=202, responses=_PROBLEMS, openapi_extra=upload_schema(), tags=["records"])
async def upload(request: Request, response: Response, wait: Wait = 0.0) -> RecordsAnswer:
    """Read one or several files; every page of a file is a record of its own.

    The form holds `files`, and options of the reading. With `wait` the answer comes when all pages are read, and
    its status is 200.
    """
    service, limits = _service(request), request.app.state.options
    async with request.form(max_files=_MOST_FILES, max_fields=_MOST_FILES) as form:
        sent = [part for part in form.getlist("files") if isinstance(part, UploadFile)]
        given = {name: value for name, value in form.items() if name != "files"}
        chosen = read_options(given, ReadOptions(), limits.max_pixels)
        if not sent:
            raise OptionError("There is no file in the request", got="none", expected="one or more as files",
                              hint="curl -F files=@photo.jpg")  # fmt: skip
        records = await service.add([(part.filename or "photo", part.file) for part in sent], chosen)
    if wait:
        await service.wait(records, wait)
    pages = [page for record in records for page in record.upload.records]
    if all(page.settled.is_set() for page in pages):
        response.status_code = 200
    return RecordsAnswer(records=[answer_of(page, service.store) for page in pages])


@router.get("/v1/records", responses=_PROBLEMS, tags=["records"])
async def several(request: Request, id: Annotated[list[str], Query(min_length=1)]) -> RecordsAnswer:
    """Show several records."""
    store = _service(request).store
    return RecordsAnswer(records=[answer_of(store.get(identifier), store) for identifier in id])


@router.get("/v1/records/{identifier}", response_model=RecordAnswer, responses=_PROBLEMS, tags=["records"])
async def show(request: Request, identifier: str, wait: Wait = 0.0, format: str = "") -> Any:
    """Show a record; with `format`, such as `edf`, as a file. Further parameters are options of the format."""
    service = _service(request)
    record = service.store.get(identifier)
    if wait and not record.settled.is_set():
        await service.wait([record], wait)
    if not format:
        return answer_of(record, service.store)
    given = {k: v for k, v in request.query_params.items() if k not in ("wait", "format")}
    return _as_file(await service.export([record], [format], given))


@router.patch("/v1/records/{identifier}", responses=_PROBLEMS, openapi_extra=corrections_schema(), tags=["records"])
async def correct(request: Request, identifier: str) -> RecordAnswer:
    """Correct a record. Corrections are relative to the first reading: all of them are given each time.

    A page that could not be read is read with them, as by the corners of its page.
    """
    service = _service(request)
    record = service.store.get(identifier)
    try:
        content = json.loads(await request.body())
    except ValueError as error:
        raise OptionError("The corrections cannot be read", got=str(error), expected="JSON",
                          hint="/openapi.json shows an example.") from None  # fmt: skip
    await service.correct(record, Corrections.from_json(content))
    return answer_of(record, service.store)


@router.post("/v1/records/{identifier}/read", status_code=202, responses=_PROBLEMS, tags=["records"])
async def read_again(request: Request, identifier: str, change: ReadAgain, wait: Wait = 0.0) -> RecordAnswer:
    """Read a page anew, with other options. Its corrections are dropped."""
    service, limits = _service(request), request.app.state.options
    record = service.store.get(identifier)
    options = read_options(change.options, record.options, limits.max_pixels)
    await service.read_again(record, options)
    if wait:
        await service.wait([record], wait)
    return answer_of(record, service.store)


@router.delete("/v1/records/{identifier}", status_code=204, responses=_PROBLEMS, tags=["records"])
async def remove(request: Request, identifier: str) -> None:
    """Remove a record and its files."""
    store = _service(request).store
    store.remove(store.get(identifier))


@router.get("/v1/records/{identifier}/pictures/{kind}", responses=_PROBLEMS, tags=["files"])
async def picture(request: Request, identifier: str, kind: str) -> FileResponse:
    """Show the `photo` (JPEG), the `flat` page (JPEG), the `overlay`, the `analysis` or the `activation` (PNG)."""
    service = _service(request)
    record = service.store.get(identifier)
    if kind not in _PICTURES:
        raise OptionError("There is no such picture", got=repr(kind), expected=f"one of {', '.join(_PICTURES)}",
                          hint="Choose one of these.")  # fmt: skip
    if kind == "overlay":
        await service.overlay(record)
    elif kind in _ANALYSIS_PICTURES:
        await service.analyze(record)
    return FileResponse(_existing(record, _PICTURES[kind]))


@router.get("/v1/records/{identifier}/drawing", responses=_PROBLEMS, tags=["files"])
async def drawing(request: Request, identifier: str) -> FileResponse:
    """Show the curves on the flat page, page mm, and the corners of the page in the photo."""
    return FileResponse(_existing(_service(request).store.get(identifier), DRAWING), media_type="application/json")


@router.get("/v1/records/{identifier}/analysis", responses=_PROBLEMS, tags=["files"])
async def analysis(request: Request, identifier: str) -> FileResponse:
    """Analyze a record: beats and their classes, intervals, a map of the heart; see docs/output.md."""
    service = _service(request)
    record = service.store.get(identifier)
    await service.analyze(record)
    return FileResponse(_existing(record, analysis_file(JSON_SUFFIX)), media_type="application/json")


@router.get("/v1/records/{identifier}/upload", responses=_PROBLEMS, tags=["files"])
async def original(request: Request, identifier: str) -> FileResponse:
    """Give back the file that was sent."""
    upload = _service(request).store.get(identifier).upload
    return FileResponse(upload.path, media_type="application/octet-stream", filename="upload")


@router.get("/v1/export", responses=_PROBLEMS, tags=["files"])
async def export(
    request: Request, id: Annotated[list[str], Query(min_length=1)], format: Annotated[list[str], Query()]
) -> Response:
    """Write several records in several formats, as an archive. Further parameters are options of the formats."""
    service = _service(request)
    records = [service.store.get(identifier) for identifier in dict.fromkeys(id)]
    given = {k: v for k, v in request.query_params.items() if k not in ("id", "format")}
    return _as_file(await service.export(records, list(dict.fromkeys(format)), given))


@router.get("/healthz", tags=["server"])
async def health(request: Request) -> Health:
    """Tell that the server answers."""
    service = _service(request)
    return Health(version=__version__, waiting=service.dispatcher.waiting, records=len(service.store))


@router.get("/metrics", tags=["server"])
async def metrics(request: Request) -> Response:
    """Count requests, pages and seconds, for Prometheus."""
    return Response(request.app.state.telemetry.text(), media_type="text/plain; version=0.0.4")


@router.get("/v1/choices", tags=["server"])
async def choices() -> dict[str, Any]:
    """List what can be chosen: layouts, speeds, gains, leads, and formats with their options."""
    writers = [writer for writer in WRITERS.values() if missing_module(writer.modules) is None]
    return {
        "notice": NOTICE,
        "layouts": [*LAYOUTS, STRIPS],
        "speeds": PAPER_SPEEDS_MM_PER_S,
        "gains": GAINS_MM_PER_MV,
        "leads": LEAD_WORDS,
        "accept": [media for reader in READERS for media in (*reader.media, *reader.suffixes)],
        "formats": [{"name": w.name, "summary": w.summary, "options": dict(w.options)} for w in writers],
    }


def _existing(record: StoredRecord, name: str) -> Path:
    path = record.folder / name
    if not path.exists():
        raise RequestError(404, "There is no such file", got=f"the state {record.state}",
                           expected="a page that was read", hint="Wait for it, or read it again.")  # fmt: skip
    return path


def _as_file(export: Export) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{export.name}"'}
    return Response(export.content, media_type=export.media, headers=headers)
