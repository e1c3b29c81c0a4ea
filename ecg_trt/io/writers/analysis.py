"""Analysis of a record as JSON, CSV and lines of text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path, PurePath
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from ecg_trt.errors import NO_DIAGNOSIS
from ecg_trt.io.atomic import atomic_path
from ecg_trt.io.writers.json import plain, versions, write_plain

if TYPE_CHECKING:
    from ecg_trt.analysis import Analysis, BeatClasses, Intervals, MappedHeart, Measurement, Rhythm

_LINE = 52
TITLES = {
    "heart_rate": "Heart rate", "rr_cv": "Variation of RR", "rmssd": "RMSSD", "p_duration": "P", "pr": "PR",
    "qrs_duration": "QRS", "qt": "QT", "qtc_bazett": "QTc Bazett", "qtc_fridericia": "QTc Fridericia",
    "qrs_axis": "QRS axis", "activation_time": "Activation",
}  # fmt: skip
"""Names of measurements for a person; classes of beats are counted in one sentence."""


def analysis_as_dict(analysis: Analysis) -> dict[str, Any]:
    """Convert an analysis to plain dictionaries, lists, strings and finite numbers."""
    content = {
        "notice": NO_DIAGNOSIS,
        "source": PurePath(analysis.source).name,
        "fs": analysis.fs,
        "measurements": [{**asdict(m), "title": TITLES.get(m.name)} for m in analysis.measurements],
        "omissions": [
            {**asdict(o), "reason": str(o.reason), "title": TITLES.get(o.name, o.name)} for o in analysis.omissions
        ],
        "warnings": [{"code": str(w.code), "text": w.text} for w in analysis.warnings],
        "beats": _beats_as_dict(analysis.beats),
        "timings_ms": dict(analysis.timings_ms),
        "backend": analysis.backend,
        "weights": dict(analysis.weights),
        "versions": versions(),
    }
    if analysis.classes is not None:
        content["classes"] = _classes_as_dict(analysis.classes)
    if analysis.intervals is not None:
        content["intervals"] = _intervals_as_dict(analysis.intervals)
    if analysis.heart is not None:
        content |= _heart_as_dict(analysis.heart)
    if analysis.printed_rate is not None:
        content["printed_rate"] = asdict(analysis.printed_rate)
    return {key: plain(value) for key, value in content.items()}


def _beats_as_dict(beats: Rhythm) -> dict[str, Any]:
    return {
        "r_s": beats.r_s.tolist(),
        "confidence": beats.confidence.tolist(),
        "rr_s": beats.rr_s.tolist(),
        "is_early": beats.is_early.tolist(),
        "is_typical": beats.median.is_typical.tolist(),
        "regularity": beats.regularity,
        "median": {
            "time_s": beats.median.time_s.tolist(),
            "mv": dict(zip(beats.median.leads, beats.median.mv.tolist(), strict=True)),
            "beats": dict(zip(beats.median.leads, beats.median.beats, strict=True)),
        },
    }


def _intervals_as_dict(intervals: Intervals) -> dict[str, Any]:
    return {
        "leads": intervals.leads,
        "waves": {str(wave): asdict(span) for wave, span in intervals.spans.items()},
    }


def _classes_as_dict(classes: BeatClasses) -> dict[str, Any]:
    return {
        "lead": classes.lead,
        "text": classes_in_words(classes),
        "notes": classes.notes,
        "beats": classes.names,
        "probabilities": {name: row.tolist() for name, row in classes.by_class.items()},
    }


def _heart_as_dict(heart: MappedHeart) -> dict[str, Any]:
    """Describe the parts of a map that were asked for; the potentials themselves are in a file of their own."""
    found = heart.heart_map
    if found is None:
        return {}
    basis = {"confidence": heart.confidence, "leads": found.leads, "beats": heart.beats}
    described: dict[str, Any] = {}
    if "activation" in heart.parts:
        points = dict(zip(found.geometry.names, found.activation_ms.tolist(), strict=True))
        described["activation"] = {"unit": "ms", **basis, "points": points}
    if "potentials" in heart.parts:
        shape = found.require_potentials().shape
        first_ms = float(found.times_ms[0])
        described["potentials"] = {"unit": "mV", **basis, "fs": found.fs, "first_ms": first_ms, "shape": shape}
    return described


def write_analysis_json(analysis: Analysis, path: str | Path) -> Path:
    """Write everything that was found, strictly valid; what is not a number is null.

    Args:
        analysis: what to write.
        path: the file, replaced if it is there.

    Returns:
        The path.

    Raises:
        OutputError: it could not be written.
    """
    return write_plain(analysis_as_dict(analysis), path)


def write_analysis_csv(analysis: Analysis, path: str | Path) -> Path:
    """Write a line a figure: name, value, unit, confidence, leads, beats; what was left out has no value but a note.

    Arguments, result and errors are those of `write_analysis_json`.
    """
    path = Path(path)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(("name", "value", "unit", "confidence", "leads", "beats", "note"))
    for m in analysis.measurements:
        beats = " ".join(map(str, m.beats))
        note = " ".join((NO_DIAGNOSIS, *_notes_of(analysis, m)))
        writer.writerow((m.name, f"{m.value:.2f}", m.unit, f"{m.confidence:.3f}", " ".join(m.leads), beats, note))
    for omission in analysis.omissions:
        writer.writerow((omission.name, "", "", "", "", "", f"{omission.reason}: {omission.text}"))
    with atomic_path(path) as temporary:
        temporary.write_text(table.getvalue(), encoding="utf-8", newline="\n")
    return path


def lines_of(analysis: Analysis) -> Iterator[str]:
    """Write a line for a person on the beats, each figure, and what was left out; the notice is not among them."""
    beats = analysis.beats
    count = len(beats.r_s)
    regularity = f", {beats.regularity}" if beats.regularity else ""
    yield f"{count} beat{'s' * (count != 1)}{regularity}"
    if analysis.classes is not None:
        yield from wrap(classes_in_words(analysis.classes), _LINE, subsequent_indent="  ")
    for m in titled(analysis):
        yield f"{TITLES[m.name]:<15}{m.value:6.0f} {m.unit:<4} confidence {m.confidence:.2f}"
    left_out: dict[str, list[str]] = {}
    for omission in analysis.omissions:
        left_out.setdefault(str(omission.reason), []).append(TITLES.get(omission.name, omission.name))
    for reason, names in left_out.items():
        yield from wrap(f"{reason}: {', '.join(names)}", _LINE, initial_indent="left out, ", subsequent_indent="  ")
    if analysis.printed_rate is not None:
        yield from wrap(analysis.printed_rate.text, _LINE)


def titled(analysis: Analysis) -> tuple[Measurement, ...]:
    """List the figures that have a title; the others are in `classes_in_words`."""
    return tuple(m for m in analysis.measurements if m.name in TITLES)


def classes_in_words(classes: BeatClasses) -> str:
    """Count the beats of each class in a sentence; empty if there are no classes."""
    if not classes.lead:
        return ""
    counts = ", ".join(f"{classes.names.count(name)} {name}" for name in classes.by_class if name in classes.names)
    hidden = classes.names.count("")
    shown = f", {hidden} not shown there" if hidden else ""
    return f"Classes on {classes.lead}: {counts}{shown}. {' '.join(classes.notes)}"


def _notes_of(analysis: Analysis, measurement: Measurement) -> tuple[str, ...]:
    """List what to know of a figure."""
    classes = analysis.classes
    return () if classes is None or measurement not in classes.measurements else classes.notes
