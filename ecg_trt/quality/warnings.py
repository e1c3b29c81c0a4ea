"""What a reading's weaknesses mean for who uses it, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from ecg_trt.errors import LowQualityError, NoEcgFoundError
from ecg_trt.layout import upright
from ecg_trt.page.naming import DOUBTFUL_LABELS
from ecg_trt.quality.features import Evidence
from ecg_trt.quality.model import FEATURES
from ecg_trt.signal.assemble import MOST_LIMB_RESIDUAL
from ecg_trt.signal.resample import runs
from ecg_trt.types import Array

_DOUBTFUL_QUALITY, _DOUBTFUL_LAYOUT = 0.5, 0.6
_PART_LOST, _NEARLY_LOST = 0.1, 0.95  # shares of a lead
_LONG_ROW = 1.1  # in records
_SAME_INK_MM, _CROSSING_MM = 0.6, 6.0  # two pens that are as near as that for longer than rows take to cross
_FINE_PX_PER_MM = 5.0
_RIM_MM = 0.5
_BEATS_TOGETHER, _SURE_PEN = 0.3, -1.0


def warnings_of(
    evidence: Evidence, quality: Array, seen_quality: Array, limb_residual: float, *, leads: Sequence[str]
) -> Iterator[str]:
    """What a reader of the record should know, what matters most first.

    Args:
        evidence: what the reading rests on.
        quality: (n,) of each lead, NaN where none is printed.
        seen_quality: (n,) of what is seen of it.
        limb_residual: share by which I + III differs from II; NaN where they are not printed together.
        leads: their names.
    """
    naming, page, assumed = evidence.naming, evidence.page, evidence.scales.assumed
    speed, gain = evidence.scales.speed_mm_per_s, evidence.scales.gain_mm_per_mv
    lost = np.array([evidence.lost.get(lead, 0) for lead in leads])
    yield from _doubts(np.where(lost < _NEARLY_LOST, seen_quality, np.nan), leads)
    if limb_residual > MOST_LIMB_RESIDUAL:
        yield (f"Leads I, II and III contradict each other (I + III should equal II, and differs by "
               f"{100 * limb_residual:.0f} %): one of them is misread or carries the wrong name. Do not rely on the "
               "limb leads, nor on an axis computed from them.")  # fmt: skip
    if naming.probability < _DOUBTFUL_LAYOUT or naming.label_score < DOUBTFUL_LABELS:
        yield (f"The page was read as {naming.layout.name}, which is uncertain: curves may carry the name of another "
               "lead. Compare the names with the page.")  # fmt: skip
    for pair, mm in _shared(evidence).items():
        yield (f"{' and '.join(pair)} were followed along the same line for {mm / speed:.1f} s: one of "
               "them shows the other's beats there. Compare them with the page.")  # fmt: skip
    cut = _cut(evidence)
    if cut:
        yield (f"The highest or deepest waves of {', '.join(cut)} leave the part of the page that is looked at and are "
               "cut short. Do not measure their amplitude.")  # fmt: skip
    matters = (lost > _PART_LOST) | (quality < _DOUBTFUL_QUALITY) & (seen_quality >= _DOUBTFUL_QUALITY)
    part = [f"{min(99, round(100 * share))} % of {lead}"
            for lead, share, does in zip(leads, lost, matters & (lost < 1), strict=True) if does]  # fmt: skip
    if part:
        yield f"Not seen (cut off, covered, too faint, or the row ends earlier), and left empty: {', '.join(part)}."
    seconds = naming.longest_mm / speed
    is_long = naming.is_known and seconds > _LONG_ROW * naming.layout.seconds
    if is_long:
        yield (f"The rows last {seconds:.1f} s at {speed:g} mm/s, and a record {naming.layout.seconds:g} s: "
               "what comes later is left out. Check the paper speed.")  # fmt: skip
    gone = [lead for lead, share in zip(leads, lost, strict=True) if share == 1 and not is_long]
    missing = (*naming.missing, *gone)
    if missing:
        yield f"Not found on the page, cut off or covered: {', '.join(missing)}. Nothing is given for them."
    if "speed" in assumed:
        yield (f"The paper speed was not found on the page and is assumed to be {speed:g} mm/s. If it was printed at "
               "another speed, the heart rate and all intervals (PR, QRS, QT) are wrong.")  # fmt: skip
    if "gain" in assumed:
        yield (f"The gain was not found on the page and is assumed to be {gain:g} mm/mV. If it was printed at another "
               "gain, all amplitudes, ST deviations among them, are wrong.")  # fmt: skip
    if seconds < 0.9 * naming.layout.seconds and naming.is_known:
        yield f"The longest row shows {seconds:.1f} s instead of {naming.layout.seconds:g} s; the rest is left empty."
    if not evidence.grid.is_seen:
        yield ("No grid could be seen on the paper, so the scale was taken from the length of the rows: times and "
               "amplitudes may be wrong by several per cent.")  # fmt: skip
    if page.photo_px_per_mm < _FINE_PX_PER_MM:
        yield (f"The photo shows little detail ({page.photo_px_per_mm:.1f} pixels a millimetre; less than "
               f"{_FINE_PX_PER_MM:g}): small waves such as P or Q may be flattened or lost. Move closer.")  # fmt: skip


def _cut(evidence: Evidence) -> list[str]:
    """Leads whose pen runs along the upper or lower rim of the flat page."""
    page, found = evidence.page, []
    (sx, sy), ox = page.px_per_mm, page.origin_mm[0]
    for strip, row in zip(evidence.naming.strips, evidence.trace.ridge_row, strict=True):
        for segment in strip.segments:
            first, last = (max(0, round((x - ox) * sx)) for x in segment.x_mm)
            mm = row[first:last] / sy
            if (mm < _RIM_MM).any() or (mm > page.seen.shape[0] / sy - _RIM_MM).any():
                found.append(upright(segment.lead)[0])
    return list(dict.fromkeys(found))


def _shared(evidence: Evidence) -> dict[tuple[str, str], float]:
    """Leads of two rows whose pens run along the same ink for longer than rows that cross do: for how long, mm."""
    (sx, sy), ox = evidence.page.px_per_mm, evidence.page.origin_mm[0]
    shared: dict[tuple[str, str], float] = {}
    rows = zip(evidence.naming.strips, evidence.trace.ridge_row, strict=True)
    for (upper, above), (lower, below) in combinations(rows, 2):
        for first, last in runs(np.abs(above - below) < _SAME_INK_MM * sy):
            names = [upright(g.lead)[0] for strip in (upper, lower) for g in strip.segments
                     if g.x_mm[0] <= (first + last) / 2 / sx + ox < g.x_mm[1]]  # fmt: skip
            if last - first > _CROSSING_MM * sx and len(names) == 2:
                pair = (names[0], names[1])
                shared[pair] = shared.get(pair, 0.0) + (last - first) / sx
    return shared


def _doubts(quality: Array, leads: Sequence[str]) -> Iterator[str]:
    """Which leads not to rely on."""
    poor = [lead for lead, q in zip(leads, quality, strict=True) if q < _DOUBTFUL_QUALITY]
    if len(poor) == np.isfinite(quality).sum() > 0:
        yield ("Do not rely on any lead: the page may have been read at a wrong speed or gain or under wrong names, or "
               "the curves were not followed. Compare it with the page.")  # fmt: skip
    elif poor:
        yield (f"Do not rely on {', '.join(poor)}: the curve is probably off by a third of its height or more. "
               "Compare it with the page.")  # fmt: skip


def reject_foreign(features: Array, source: str) -> NoEcgFoundError:
    """The error for a page that is no ECG, or none that can be read.

    Args:
        features: (n, F), NaN for leads that are not printed.
        source: of the photo.
    """
    page = features[np.isfinite(features).all(1)]
    usual = dict(zip(FEATURES, np.median(page, axis=0), strict=True)) if len(page) else {}
    found = [
        word
        for word, holds in (
            ("no lead names that can be read", usual.get("names", 0.0) < DOUBTFUL_LABELS),
            ("no 5 mm grid", usual.get("lattice_known", 0.0) < 0.5),
            ("rows that do not beat together", usual.get("together", 0.0) < _BEATS_TOGETHER),
            ("curves that are hard to see", usual.get("page_unsure", 0.0) > _SURE_PEN),
        )
        if holds
    ]
    return NoEcgFoundError(
        f"no ECG that can be read found in {source}",
        got=", ".join(found) or "curves unlike those of an ECG",
        expected="a printed ECG with its grid, its lead names and rows that show the same beats",
        mend="Photograph the whole page from above, sharp, filling the frame and in even light, or scan it.",
    )


def reject_low_quality(quality: float, least: float, source: str) -> LowQualityError:
    """The error for a page that was read less well than was asked for."""
    return LowQualityError(
        f"the reading of {source} is not good enough",
        got=f"a mean quality of {quality:.2f}",
        expected=f"at least {least:.2f}, as asked for",
        mend="Take a sharper photo of the whole page from above, closer and in even light; give the layout, speed and "
        "gain if you know them; or ask for less (--min-quality).",
    )
