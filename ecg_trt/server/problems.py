"""Errors as problem documents (RFC 9457): what, got, expected and hint beside its own members."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

from ecg_trt.errors import (
    NOTICE,
    BackendError,
    EcgTrtError,
    InputError,
    NotAnImageError,
    OutputError,
    PageError,
    PhotoSizeError,
)

MEDIA_TYPE = "application/problem+json"

_STATUSES: tuple[tuple[type[EcgTrtError], int], ...] = (
    (PhotoSizeError, 413),
    (NotAnImageError, 415),
    (InputError, 422),
    (PageError, 422),
    (OutputError, 501),
    (BackendError, 503),
)
"""Status of each kind of error; the first that fits counts."""


class RequestError(EcgTrtError):
    """A request that the server does not answer.

    Args:
        status: of HTTP.
        what: what could not be done.
        got: what was found instead.
        expected: what would have been accepted.
        hint: what the client can do about it.
        headers: of the answer.
    """

    def __init__(
        self, status: int, what: str, *, got: str, expected: str, hint: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(what, got=got, expected=expected, hint=hint)
        self.status, self.headers = status, dict(headers or {})


def status_of(error: EcgTrtError) -> int:
    """Choose the HTTP status of an error."""
    if isinstance(error, RequestError):
        return error.status
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def problem_of(error: EcgTrtError) -> dict[str, Any]:
    """Describe an error as RFC 9457 does."""
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(error).__name__.removesuffix("Error")).lower()
    return {
        "type": f"urn:ecg-trt:{kind}",
        "title": error.what,
        "status": status_of(error),
        "detail": str(error),
        "what": error.what,
        "got": error.got,
        "expected": error.expected,
        "hint": error.hint,
        "notice": NOTICE,
    }


def problem_response(error: EcgTrtError) -> JSONResponse:
    """Answer a request with an error."""
    headers = error.headers if isinstance(error, RequestError) else None
    return JSONResponse(problem_of(error), status_of(error), headers=headers, media_type=MEDIA_TYPE)


def unforeseen(error: Exception) -> EcgTrtError:
    """Wrap an error that nobody foresaw; its text stays in the log, as it may hold paths."""
    return EcgTrtError(
        "Internal error",
        got=type(error).__name__,
        expected="an answer, or an error that explains itself",
        hint="Please report it with the server's log.",
    )
