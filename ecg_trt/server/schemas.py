"""JSON of the requests and answers, as the OpenAPI document shows it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ecg_trt.config import ReadOptions
from ecg_trt.corrections import Corrections
from ecg_trt.errors import NOTICE, OptionError
from ecg_trt.server.problems import problem_of
from ecg_trt.server.record_store import RecordStore, State, StoredRecord

_EXAMPLE_ID = "q7Jm2vX0cPz1aB3d"
_EXAMPLE_PROBLEM: dict[str, Any] = {
    "type": "urn:ecg-trt:no-ecg-found",
    "title": "photo.jpg shows no ECG",
    "status": 422,
    "detail": "photo.jpg shows no ECG: got a uniform picture; expected ECG paper. Photograph the page alone.",
    "what": "photo.jpg shows no ECG",
    "got": "a uniform picture",
    "expected": "ECG paper",
    "hint": "Photograph the page alone.",
    "notice": NOTICE,
}
CORRECTIONS_EXAMPLE: dict[str, Any] = {
    "gain": 5,
    "names": [{"row": 0, "column": 1, "lead": "aVL"}],
    "zero_lines": [{"row": 3, "y_mm": 132.5}],
    "left_out": [{"row": 1, "x_mm": [80.0, 92.5]}],
}


class Problem(BaseModel):
    """Error, as RFC 9457 describes it, with what an `EcgTrtError` holds."""

    type: str
    title: str
    status: int
    detail: str
    what: str
    got: str
    expected: str
    hint: str
    notice: str = NOTICE

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE_PROBLEM]})


class RecordAnswer(BaseModel):
    """One page, and what was read of it."""

    notice: str = NOTICE
    id: str = Field(examples=[_EXAMPLE_ID])
    name: str = Field(description="Name that the client gave the file.", examples=["photo.jpg"])
    page: int | None = Field(description="From 1; null as long as the file's pages are not counted.", examples=[1])
    pages: list[str] = Field(description="Ids of the records of all pages of the file.", examples=[[_EXAMPLE_ID]])
    pages_in_file: int = Field(description="More than pages where there was no room for all.", examples=[1])
    photo_px: tuple[int, int] | None = Field(description="Width and height of the photo.", examples=[[2600, 1950]])
    state: State
    revision: int = Field(description="Grows with each reading and correction.", examples=[1])
    expires_s: float = Field(description="Seconds until it is removed, unless somebody asks for it.")
    options: dict[str, Any] = Field(description="Options of the reading.")
    corrections: dict[str, Any] = Field(description="What a person set.", examples=[CORRECTIONS_EXAMPLE])
    record: dict[str, Any] | None = Field(description="Everything but the samples, see docs/output.md.")
    error: Problem | None = Field(description="Why the page could not be read.")


class RecordsAnswer(BaseModel):
    """Several records."""

    notice: str = NOTICE
    records: list[RecordAnswer]


class ReadAgain(BaseModel):
    """How a page is to be read anew."""

    options: dict[str, Any] = Field(default_factory=dict, description="Those of ReadOptions; others as they were.")

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"options": {"min_px_per_mm": 1.5}}]})


class Health(BaseModel):
    """State of the server."""

    status: str = "ok"
    version: str
    waiting: int
    records: int
    notice: str = NOTICE


def answer_of(record: StoredRecord, store: RecordStore) -> RecordAnswer:
    """Describe a record."""
    return RecordAnswer(
        id=record.id, name=record.name, page=record.page, pages=[page.id for page in record.upload.records],
        pages_in_file=record.upload.pages, photo_px=record.photo_px, state=record.state, revision=record.revision,
        expires_s=round(store.expires_s(record), 1),
        options={option.name: getattr(record.options, option.name) for option in fields(ReadOptions)},
        corrections=record.corrections.to_json(), record=record.summary,
        error=None if record.error is None else Problem(**problem_of(record.error)),
    )  # fmt: skip


def corrections_schema() -> dict[str, Any]:
    """Request body of a correction, for OpenAPI."""
    properties: dict[str, Any] = {name: {} for name in Corrections().to_json()}
    text = "docs/corrections.md describes each; keys may be left out."
    schema = {"type": "object", "properties": properties, "additionalProperties": False, "description": text}
    return {"requestBody": {"content": {"application/json": {"schema": schema, "example": CORRECTIONS_EXAMPLE}}}}


def upload_schema() -> dict[str, Any]:
    """Request body of an upload, for OpenAPI: files, and the options of a reading."""
    options = ReadOptions()
    properties: dict[str, Any] = {
        option.name: {"type": "string", "default": str(getattr(options, option.name))} for option in fields(options)
    }
    properties["files"] = {"type": "array", "items": {"type": "string", "format": "binary"}}
    schema = {"type": "object", "properties": properties, "required": ["files"]}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def read_options(given: dict[str, Any], base: ReadOptions, max_pixels: int) -> ReadOptions:
    """Make options of a reading from a form or from JSON.

    Args:
        given: names and values, which a form gives as text.
        base: of those that are not given.
        max_pixels: most that a client may choose.

    Raises:
        OptionError: an unknown name, or a value outside its range.
    """
    chosen: dict[str, Any] = {option.name: getattr(base, option.name) for option in fields(ReadOptions)}
    for name, value in given.items():
        if name not in chosen:
            raise OptionError("Unknown option", got=repr(name), expected=f"one of {', '.join(chosen)}",
                              hint="Leave it out.")  # fmt: skip
        chosen[name] = _converted(name, value, chosen[name])
    chosen["max_pixels"] = min(chosen["max_pixels"], max_pixels)
    return ReadOptions(**chosen)


def _converted(name: str, value: Any, default: Any) -> Any:
    """Convert an option's text to the type of its default."""
    text = str(value).strip().lower()
    if isinstance(default, bool):
        if text in ("true", "false", "1", "0"):
            return text in ("true", "1")
        raise OptionError(f"Unknown {name}", got=repr(value), expected="true or false", hint="Leave it out.")
    if isinstance(default, int):
        if text.isdecimal():
            return int(text)
        raise OptionError(f"Unknown {name}", got=repr(value), expected="a whole number", hint="Leave it out.")
    return value
