"""EDF+, the European Data Format: 16-bit samples in mV with annotations.

EDF has no mark of a missing sample. Its discontinuous form (EDF+D) leaves out a stretch of time from all signals, but
at hardly any time does a page print no lead at all. So the file is continuous (EDF+C), a gap is 0 mV, and an annotation
with the gap's onset and duration says so, linked to its signal as EDF+ has it: ``Not printed, or not seen@@ECG V1``
(https://www.edfplus.info/specs/edftexts.html, 3.3). With the annotations the gaps can be restored to the sample.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ecg_trt.io.atomic import atomic_path
from ecg_trt.io.writers.notes import GAP_NOTE, notes_of
from ecg_trt.io.writers.samples import as_integers, gaps, int16_units_per_mv

if TYPE_CHECKING:
    from edfio import Edf, EdfAnnotation

    from ecg_trt.record import EcgRecord

_LABEL_CHARACTERS = 16


def write_edf(record: EcgRecord, path: str | Path) -> Path:
    """Write an EDF+C file with one signal a lead, in mV, and annotations at its start that hold notes and warnings.

    One unit is 1 uV (coarser only where a sample exceeds 32.7 mV). There is no patient, and no date.

    Arguments, result and errors are those of `Writer.write`.
    """
    path = Path(path)
    edf = _as_edf(record, int16_units_per_mv(record.signal_mv, path, "EDF"))
    with atomic_path(path) as temporary:
        edf.write(temporary)
    return path


def _as_edf(record: EcgRecord, units_per_mv: float) -> Edf:
    from edfio import Edf, EdfSignal, Recording

    samples = as_integers(record.signal_mv, units_per_mv, missing=0)
    n_each, seconds = _data_record(record.signal_mv.shape[1], record.fs)
    signals = [
        EdfSignal(
            row / units_per_mv,
            n_each / seconds,
            label=_label(lead),
            transducer_type="photo of a paper ECG",
            physical_dimension="mV",
            physical_range=(-32768 / units_per_mv, 32767 / units_per_mv),
            digital_range=(-32768, 32767),
        )
        for lead, row in zip(record.lead_names, samples, strict=True)
    ]
    return Edf(
        signals,
        recording=Recording(equipment_code="ecg_trt"),
        data_record_duration=seconds,
        annotations=_annotations(record),
    )


def _annotations(record: EcgRecord) -> list[EdfAnnotation]:
    """List notes at the start of the file, and the gaps where they are."""
    from edfio import EdfAnnotation

    notes = [EdfAnnotation(0.0, None, note) for note in notes_of(record)]
    return notes + [
        EdfAnnotation(
            gap.start / record.fs,
            (gap.stop - gap.start) / record.fs,
            f"{GAP_NOTE}@@{_label(record.lead_names[gap.lead])}",
        )
        for gap in gaps(record.signal_mv)
    ]


def _label(lead: str) -> str:
    """Make the standard label of a lead, such as ``ECG V1``."""
    return f"ECG {lead}".encode("ascii", "replace").decode("ascii")[:_LABEL_CHARACTERS]


def _data_record(n: int, fs: float) -> tuple[int, float]:
    """Choose the data records, into which the n samples must be divided without a rest.

    Returns:
        (samples, seconds) of one: those nearest to 1 s whose seconds the header states exactly; else all samples, and
        their seconds as the header rounds them, to six digits.
    """
    records = [(k, float(f"{k / fs:.6g}")) for k in range(1, n + 1) if n % k == 0]
    exact = [(k, seconds) for k, seconds in records if seconds == k / fs]
    return min(exact, key=lambda record: abs(math.log(record[1])), default=records[-1])
