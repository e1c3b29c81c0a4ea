"""Sentences about a record, for formats that hold free text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ecg_trt.errors import NOTICE
from ecg_trt.types import PageWarning, WarningCode

if TYPE_CHECKING:
    from ecg_trt.record import EcgRecord

GAP_NOTE = "Not printed, or not seen"
"""Annotation of a gap, in formats that cannot leave a sample out."""
_LEFT_OUT = "A photo of the page was left out."


def settings_of(record: EcgRecord) -> tuple[str, ...]:
    """State how the page was printed and where the samples come from."""
    return (
        f"layout: {record.layout}",
        f"paper speed: {record.paper_speed_mm_per_s:g} mm/s",
        f"printed gain: {record.gain_text}",
        f"digitized from a photo by ecg_trt. {NOTICE}.",
    )


def anonymous(warning: PageWarning) -> str:
    """Give the text of a warning without the names of files, which may be those of patients."""
    return _LEFT_OUT if warning.code is WarningCode.PHOTO_LEFT_OUT else warning.text


def without_file_names(record: EcgRecord) -> EcgRecord:
    """Drop the names of files, which may be those of patients, from a record, its warnings and its photos."""
    warnings = tuple(replace(warning, text=anonymous(warning)) for warning in record.warnings)
    photos = tuple(replace(photo, source="", left_out=_LEFT_OUT if photo.left_out else "") for photo in record.photos)
    return replace(record, source="", warnings=warnings, photos=photos)


def notes_of(record: EcgRecord) -> tuple[str, ...]:
    """State the settings, then each warning with its code; what cannot be printed, as in a file's name, is ``?``."""
    notes = (*settings_of(record), *(f"{warning.code}: {anonymous(warning)}" for warning in record.warnings))
    return tuple("".join(c if c.isprintable() else "?" for c in note) for note in notes)
