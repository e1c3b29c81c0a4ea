"""A measurement in a process of its own: its memory is its own, and its death is not that of the rest."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from ecg_trt.errors import EcgTrtError


class Unmeasured(Exception):
    """Reason why there is no result, half a sentence for a table."""


def in_child(work: Callable[..., Any], *arguments: object, limit_s: float) -> Any:
    """Call a function in a fresh interpreter.

    Args:
        work: a function that a child can import.
        arguments: for it.
        limit_s: after which it is ended.

    Raises:
        Unmeasured: it raised, died, or took too long.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(theirs, work, arguments))
    process.start()
    theirs.close()
    try:
        if not ours.poll(limit_s):
            raise Unmeasured(f"it took more than {limit_s:g} s")
        reason, result = ours.recv()
    except EOFError:
        process.join()
        raise Unmeasured(f"its process died with exit code {process.exitcode}") from None
    finally:
        ours.close()
        if process.is_alive():
            process.join(5)
        if process.is_alive():
            process.kill()
            process.join()
    if reason:
        raise Unmeasured(reason)
    return result


def in_place(work: Callable[..., Any], *arguments: object, limit_s: float) -> Any:
    """Call a function in this process and without a limit; otherwise as `in_child`."""
    try:
        return work(*arguments)
    except Exception as error:
        raise Unmeasured(reason_of(error)) from error


def reason_of(error: Exception) -> str:
    """Half a sentence for a table."""
    if isinstance(error, EcgTrtError):
        return f"{error.got}. {error.hint}"
    return f"{type(error).__name__}: {error}"


def _serve(connection: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        answer = ("", work(*arguments))
    except Exception as error:
        if not isinstance(error, EcgTrtError):
            traceback.print_exc()
        answer = (reason_of(error), None)
    connection.send(answer)
    connection.close()
