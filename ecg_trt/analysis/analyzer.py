"""From a record to what it says: the parts of an analysis, in their order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from ecg_trt.analysis.beat_classes import BeatClasses, classify_beats
from ecg_trt.analysis.electrophysiology import HeartMapper
from ecg_trt.analysis.heart_mapping import MappedHeart, map_heart
from ecg_trt.analysis.heartbeat import HeartbeatClassifier
from ecg_trt.analysis.intervals import Intervals, measure_intervals
from ecg_trt.analysis.measurement import Measurement, Omission
from ecg_trt.analysis.printed_rate import RateComparison, compare_rates
from ecg_trt.analysis.rhythm import Rhythm, measure_rhythm
from ecg_trt.backends.runtime import Runtime
from ecg_trt.backends.select import open_runtime
from ecg_trt.closeable import Closeable
from ecg_trt.config import RuntimeOptions
from ecg_trt.errors import OptionError, UnknownFormatError
from ecg_trt.record import EcgRecord
from ecg_trt.step_timer import StepTimer
from ecg_trt.types import PageWarning
from ecg_trt.weights import list_weights

_HEART = ("activation", "potentials")  # Parts of one map.
# The confidence in potentials rests on activation, and their picture shows it.
_NETWORKS = {"classes": ("heartbeat",), "activation": ("activation",), "potentials": ("activation", "potentials")}
PARTS = ("beats", "classes", "intervals", *_HEART)
"""Parts of an analysis that can be asked for."""
DEFAULT_PARTS = ("beats", "classes", "intervals", "activation")
"""Parts of an analysis for which nothing was named."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """Findings on a record. Research use only, not a diagnosis.

    Attributes:
        source: of the record.
        fs: samples a second of the record.
        beats: beats, rate and regularity; everything else rests on them.
        classes: classes of the beats; this and the others are None where they were not asked for.
        intervals: intervals and axis.
        heart: activation and potentials of the heart.
        printed_rate: comparison with the rate that the page prints, None where none was given.
        timings_ms: part to milliseconds.
        backend: what ran the networks, "" if none was needed.
        weights: network name to the first 12 hex digits of its sha256.
        warnings: of the record: figures of a page that was read wrongly are wrong.
    """

    source: str
    fs: float
    beats: Rhythm
    classes: BeatClasses | None = None
    intervals: Intervals | None = None
    heart: MappedHeart | None = None
    printed_rate: RateComparison | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    backend: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[PageWarning, ...] = ()

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """All figures."""
        return tuple(chain.from_iterable(part.measurements for part in self._parts))

    @property
    def omissions(self) -> tuple[Omission, ...]:
        """Everything that was left out, and why."""
        return tuple(chain.from_iterable(part.omissions for part in self._parts))

    @property
    def _parts(self) -> tuple[Rhythm | BeatClasses | Intervals | MappedHeart, ...]:
        return tuple(p for p in (self.beats, self.classes, self.intervals, self.heart) if p is not None)

    def __getitem__(self, name: str) -> Measurement:
        """Take one figure, such as "qt".

        Raises:
            KeyError: it was left out, or not asked for.
        """
        for measurement in self.measurements:
            if measurement.name == name:
                return measurement
        raise KeyError(next((o.text for o in self.omissions if o.name == name), f"There is no figure {name}."))


class Analyzer(Closeable):
    """Analyzer of records; it holds the networks that its parts need open until closed.

    Args:
        parts: some of `PARTS`; beats are always found.
        runtime_options: what runs the networks, and digitizes photos.
        runtime: open networks, closed by who opened them, after this; those of `runtime_options` if None.

    Raises:
        OptionError: there is no such part.
        BackendError: a network cannot be loaded.

    Example:
        >>> with Analyzer(("beats", "classes")) as analyzer:  # doctest: +SKIP
        ...     found = [analyzer(record) for record in records]
    """

    def __init__(
        self, parts: Iterable[str] = DEFAULT_PARTS, runtime_options: RuntimeOptions | None = None, *,
        runtime: Runtime | None = None,
    ) -> None:  # fmt: skip
        wanted = set(parts)
        if not wanted <= set(PARTS):
            raise OptionError("Unknown part of an analysis", got=", ".join(sorted(wanted - set(PARTS))),
                              expected=f"some of {', '.join(PARTS)}", hint="Choose of these.")  # fmt: skip
        self.parts = tuple(part for part in PARTS if part in wanted)
        self.runtime_options = options = runtime_options or RuntimeOptions()
        self._opened: Runtime | None = None
        networks = tuple(dict.fromkeys(chain.from_iterable(_NETWORKS.get(part, ()) for part in self.parts)))
        self._weights = {name: digest[:12] for name, digest in list_weights().items() if name in networks}
        if runtime is None and networks:
            runtime = self._opened = open_runtime(options.backend, networks=networks, threads=options.threads)
        backends = {name: runtime.backend(name) for name in networks} if runtime is not None else {}
        self._backend = runtime.name if runtime is not None and networks else ""
        self._classifier = HeartbeatClassifier(backends["heartbeat"]) if "heartbeat" in backends else None
        self._mapper = (
            HeartMapper(backends["activation"], backends.get("potentials")) if "activation" in backends else None
        )

    def close(self) -> None:
        """Free the networks if they were opened here; more than once is fine."""
        if self._opened is not None:
            self._opened.close()

    def __call__(self, record: EcgRecord, *, printed_rate_bpm: float | None = None) -> Analysis:
        """Analyze a record.

        Args:
            record: a record.
            printed_rate_bpm: heart rate that the page prints, to compare with.

        Raises:
            OptionError: the printed rate is none.
            BackendError: a network failed.
        """
        clock, classes, intervals, heart = StepTimer(), None, None, None
        with clock("beats"):
            beats = measure_rhythm(record)
        if self._classifier is not None:
            with clock("classes"):
                classes = classify_beats(record, beats, self._classifier)
        if "intervals" in self.parts or self._mapper is not None:
            with clock("intervals"):
                intervals = measure_intervals(record, beats)
        if intervals is not None and self._mapper is not None:
            with clock("heart"):
                heart = map_heart(beats, intervals, self._mapper, tuple(p for p in _HEART if p in self.parts))
        return Analysis(
            record.source, record.fs, beats, classes, intervals if "intervals" in self.parts else None, heart,
            None if printed_rate_bpm is None else compare_rates(beats, printed_rate_bpm),
            clock.ms, self._backend, self._weights, record.warnings,
        )  # fmt: skip


def analyze(
    source: EcgRecord | str | os.PathLike[str],
    parts: Iterable[str] = DEFAULT_PARTS,
    *,
    printed_rate_bpm: float | None = None,
    page: int | None = None,
    runtime_options: RuntimeOptions | None = None,
) -> Analysis:
    """Analyze an ECG: its beats and their classes, intervals, and a map of the heart.

    Research use only, not a diagnosis. `Analyzer` does many records, and opens the networks once.

    Args:
        source: a record; or the path of a file that holds one (``.csv``, ``.hea``, ``.edf``, ``.dcm``), or of a photo
            or scan, which is digitized first.
        parts: some of `PARTS`; beats are always found.
        printed_rate_bpm: heart rate that the page prints, to compare with.
        page: number from 1, of a photo's file with several pages.
        runtime_options: what runs the networks.

    Raises:
        OptionError: there is no such part or page, or the printed rate is none.
        InputError: the file cannot be read.
        PageError: the photo shows no page that can be read.
        BackendError: a network cannot be loaded, or failed.
    """
    if isinstance(source, EcgRecord):
        _check_no_page(source.source, page)
        record = source
    else:
        record = load_record(source, page, runtime_options)
    with Analyzer(parts, runtime_options) as analyzer:
        return analyzer(record, printed_rate_bpm=printed_rate_bpm)


def load_record(
    path: str | os.PathLike[str], page: int | None = None, runtime_options: RuntimeOptions | None = None
) -> EcgRecord:
    """Load a record from a file, or digitize a photo; arguments and errors as of `analyze`."""
    from ecg_trt.digitizer import digitize
    from ecg_trt.io.readers.record_files import SIGNAL_READERS
    from ecg_trt.recorded import is_record_file, record_in_file

    if is_record_file(path):
        _check_no_page(path, page)
        return record_in_file(path)
    try:
        return digitize(Path(path), None, runtime_options, page=page)
    except UnknownFormatError as error:
        expected = f"{error.expected}, or a record: {' or '.join(SIGNAL_READERS)}"
        raise UnknownFormatError(error.what, got=error.got, expected=expected, hint=error.hint) from error


def _check_no_page(name: str | os.PathLike[str], page: int | None) -> None:
    if page is not None:
        raise OptionError(f"{name} has no page {page}", got=f"page={page}", expected="none, as it is a record",
                          hint="Leave the page out.")  # fmt: skip
