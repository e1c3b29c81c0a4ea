"""Warnings about the weaknesses of a reading, in words for its user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ecg_trt.errors import LowQualityError, NoEcgFoundError
from ecg_trt.geometry.homography import apply_homography
from ecg_trt.layout import upright
from ecg_trt.page.naming import DOUBTFUL_LABELS
from ecg_trt.quality.features import Evidence
from ecg_trt.quality.model import FEATURES
from ecg_trt.signal.assemble import MOST_LIMB_RESIDUAL
from ecg_trt.signal.shared_ink import shared_stretches
from ecg_trt.types import Array, PageAlignment, PageWarning, WarningCode

_POOR_QUALITY, _UNCERTAIN_LAYOUT = 0.5, 0.6
PART_MISSING = 0.1  # Missing share of a lead that is warned of.
_NEARLY_MISSING = 0.95  # That leaves nothing to rate.
_LONG_ROW, _SHORT_ROW = 1.1, 0.9  # Lengths of the longest row, as a share of the record's.
_FINE_PX_PER_MM = 3.5  # At this scale a pen of 0.3 mm is a pixel wide.
_BESIDE_MM = 20.0  # Distance from the page beyond which ECG paper is another page's.
_RIM_MM = 0.5  # A pen this near to the rim of the flat page may leave it.
_LEAST_SYNCHRONY, _MOST_UNCERTAINTY = 0.3, -1.0  # Of `synchrony` and `page_uncertainty`.
_HARDLY_ECG = (
    "Do not rely on any lead: the page hardly resembles an ECG, in its grid, names, rows or curves. Compare it with "
    "the page."
)
_TEXTS = {
    WarningCode.UNRELIABLE_PAGE: "Do not rely on any lead: the page may have been read at a wrong speed or gain or "
    "under wrong names, or the curves were not followed. Compare it with the page.",
    WarningCode.UNRELIABLE_LEADS: "Do not rely on {leads}: the curve is probably off by a third of its height or more. "
    "Compare it with the page.",
    WarningCode.LIMB_LEADS_CONTRADICT: "Leads I, II and III contradict each other (I + III should equal II, and "
    "differs by {percent:.0f} %): one of them is misread or carries the wrong name. Do not rely on the limb leads, nor "
    "on an axis computed from them.",
    WarningCode.MIRRORED: "The picture is mirrored, and was read from the other side: its text is legible there.",
    WarningCode.OTHER_PAGES: "The picture shows {count} of ECG paper, and only the largest was read. Photograph "
    "each page alone, or cut the picture.",
    WarningCode.LAYOUT_UNCERTAIN: "The page was read as {layout}, which is uncertain: curves may carry the name of "
    "another lead. Compare the names with the page.",
    WarningCode.TRACE_SHARED: "{leads} were followed along the same line for {seconds:.1f} s: one of them shows the "
    "other's beats there. Compare them with the page.",
    WarningCode.WAVES_CUT: "The highest or deepest waves of {leads} leave the part of the page that is looked at and "
    "are cut short. Do not measure their amplitude.",
    WarningCode.PARTLY_MISSING: "Not seen (cut off, covered, too faint, or the row ends earlier) or left out by hand, "
    "and left empty: {shares}.",
    WarningCode.ROWS_TOO_LONG: "The rows last {seconds:.1f} s at {speed:g} mm/s, and a record {record:g} s: what comes "
    "later is left out. Check the paper speed.",
    WarningCode.LEADS_MISSING: "Not found on the page, cut off or covered: {leads}. Nothing is given for them.",
    WarningCode.SPEED_ASSUMED: "The paper speed was not found on the page and is assumed to be {speed:g} mm/s. If it "
    "was printed at another speed, the heart rate and all intervals (PR, QRS, QT) are wrong.",
    WarningCode.GAIN_ASSUMED: "The gain was not found on the page and is assumed to be {gain:g} mm/mV. If it was "
    "printed at another gain, all amplitudes, ST deviations among them, are wrong.",
    WarningCode.ROWS_SHORT: "The longest row shows {seconds:.1f} s instead of {record:g} s; the rest is left empty.",
    WarningCode.NO_GRID: "No grid could be seen on the paper, so the scale was taken from the length of the rows: "
    "times and amplitudes may be wrong by several per cent.",
    WarningCode.LOW_RESOLUTION: "The picture shows little detail ({px_per_mm:.1f} pixels a millimetre; less than "
    "{fine:g}): small waves such as P or Q may be flattened or lost. Photograph from nearer, or scan at 200 dpi.",
}


def warnings_of(
    evidence: Evidence,
    quality: Array,
    seen_quality: Array,
    limb_residual: float,
    *,
    leads: Sequence[str],
    is_hardly_ecg: bool = False,
) -> Iterator[PageWarning]:
    """Warn a reader of the record, of what matters most first.

    Args:
        evidence: what the reading rests on.
        quality: (n,) of each lead, NaN where none is printed.
        seen_quality: (n,) of the part of each lead that is not missing.
        limb_residual: share by which I + III differs from II; NaN where they are not printed together.
        leads: their names.
        is_hardly_ecg: the non-ECG score is high, though not so high that the page is rejected.
    """
    naming, page = evidence.naming, evidence.page
    missing = np.array([evidence.missing.get(lead, 0) for lead in leads])
    seen = np.where(missing < _NEARLY_MISSING, seen_quality, np.nan)
    if is_hardly_ecg:
        yield PageWarning(WarningCode.UNRELIABLE_PAGE, _HARDLY_ECG)
    else:
        yield from unreliable(seen, leads, _TEXTS[WarningCode.UNRELIABLE_PAGE])
    if limb_residual > MOST_LIMB_RESIDUAL:
        yield _warn(WarningCode.LIMB_LEADS_CONTRADICT, percent=100 * limb_residual)
    if evidence.alignment.is_mirrored:
        yield _warn(WarningCode.MIRRORED)
    if others := _other_pages(evidence.alignment):
        yield _warn(WarningCode.OTHER_PAGES, count="a further sheet" if others == 1 else f"{others} further sheets")
    if naming.probability < _UNCERTAIN_LAYOUT or naming.label_score < DOUBTFUL_LABELS:
        yield _warn(WarningCode.LAYOUT_UNCERTAIN, layout=naming.layout.name)
    for pair, mm in _shared(evidence).items():
        seconds = mm / evidence.scales.speed_mm_per_s
        yield _warn(WarningCode.TRACE_SHARED, leads=" and ".join(pair), seconds=seconds)
    cut = _cut(evidence)
    if cut:
        yield _warn(WarningCode.WAVES_CUT, leads=", ".join(cut))
    matters = (missing > PART_MISSING) | (quality < _POOR_QUALITY) & (seen_quality >= _POOR_QUALITY)
    yield from _gaps(evidence, missing, matters, leads)
    if not evidence.grid.is_seen:
        yield _warn(WarningCode.NO_GRID)
    if page.photo_px_per_mm < _FINE_PX_PER_MM:
        yield _warn(WarningCode.LOW_RESOLUTION, px_per_mm=page.photo_px_per_mm, fine=_FINE_PX_PER_MM)


def _warn(code: WarningCode, **fields: object) -> PageWarning:
    return PageWarning(code, _TEXTS[code].format(**fields))


def _gaps(evidence: Evidence, missing: Array, matters: Array, leads: Sequence[str]) -> Iterator[PageWarning]:
    """Warn of missing parts of the record, and of scales that were assumed."""
    naming, scales = evidence.naming, evidence.scales
    record = naming.layout.seconds
    part = [f"{min(99, round(100 * share))} % of {lead}"
            for lead, share, does in zip(leads, missing, matters & (missing < 1), strict=True) if does]  # fmt: skip
    if part:
        yield _warn(WarningCode.PARTLY_MISSING, shares=", ".join(part))
    seconds = naming.longest_mm / scales.speed_mm_per_s
    is_long = naming.is_known and seconds > _LONG_ROW * record
    if is_long:
        yield _warn(WarningCode.ROWS_TOO_LONG, seconds=seconds, speed=scales.speed_mm_per_s, record=record)
    gone = [lead for lead, share in zip(leads, missing, strict=True) if share == 1 and not is_long]
    absent = (*naming.missing, *gone)
    if absent:
        yield _warn(WarningCode.LEADS_MISSING, leads=", ".join(absent))
    if "speed" in scales.assumed:
        yield _warn(WarningCode.SPEED_ASSUMED, speed=scales.speed_mm_per_s)
    if "gain" in scales.assumed:
        yield _warn(WarningCode.GAIN_ASSUMED, gain=scales.gain_mm_per_mv)
    if seconds < _SHORT_ROW * record and naming.is_known:
        yield _warn(WarningCode.ROWS_SHORT, seconds=seconds, record=record)


def _other_pages(alignment: PageAlignment) -> int:
    """Count the patches of ECG paper that lie beside the page."""
    if not len(alignment.others):
        return 0
    xy = apply_homography(alignment.page_from_photo, alignment.others)
    return int(((xy < -_BESIDE_MM) | (xy > np.array(alignment.size_mm) + _BESIDE_MM)).any(1).sum())


def _cut(evidence: Evidence) -> list[str]:
    """Find the leads whose pen runs along the upper or lower rim of the flat page."""
    page, found = evidence.page, []
    sy = page.px_per_mm[1]
    for strip, row in zip(evidence.naming.strips, evidence.trace.ridge_row, strict=True):
        for segment in strip.segments:
            first, last = (max(0, column) for column in page.columns_between(segment.x_mm))
            mm = row[first:last] / sy
            if (mm < _RIM_MM).any() or (mm > page.seen.shape[0] / sy - _RIM_MM).any():
                found.append(upright(segment.lead)[0])
    return list(dict.fromkeys(found))


def _shared(evidence: Evidence) -> dict[tuple[str, str], float]:
    """Find leads of two rows whose pens share ink for longer than crossing rows do, and the length of it, mm."""
    page, strips = evidence.page, evidence.naming.strips
    shared: dict[tuple[str, str], float] = {}
    for upper, lower, first, last in shared_stretches(page, evidence.trace.ridge_row):
        names = [upright(g.lead)[0] for strip in (strips[upper], strips[lower]) for g in strip.segments
                 if g.x_mm[0] <= page.x_mm((first + last) / 2) < g.x_mm[1]]  # fmt: skip
        if len(names) == 2:
            pair = (names[0], names[1])
            shared[pair] = shared.get(pair, 0.0) + (last - first) / page.px_per_mm[0]
    return shared


def unreliable(quality: Array, leads: Sequence[str], page_text: str) -> Iterator[PageWarning]:
    """Warn of unreliable leads, or in the words of `page_text` if all are.

    Args:
        quality: (n,) of each lead, NaN where none is printed.
        leads: their names.
        page_text: what to say of a page without a reliable lead.
    """
    poor = [lead for lead, q in zip(leads, quality, strict=True) if q < _POOR_QUALITY]
    if len(poor) == np.isfinite(quality).sum() > 0:
        yield PageWarning(WarningCode.UNRELIABLE_PAGE, page_text)
    elif poor:
        yield _warn(WarningCode.UNRELIABLE_LEADS, leads=", ".join(poor))


def reject_non_ecg(features: Array, source: str) -> NoEcgFoundError:
    """Build the error for a page that is no ECG, or not a legible one.

    Args:
        features: (n, F), NaN for leads that are not printed.
        source: of the photo.
    """
    page = features[np.isfinite(features).all(1)]
    medians = dict(zip(FEATURES, np.median(page, axis=0), strict=True)) if len(page) else {}
    found = [
        word
        for word, holds in (
            ("no lead names that can be read", medians.get("names", 0.0) < DOUBTFUL_LABELS),
            ("no 5 mm grid", medians.get("grid_known", 0.0) < 0.5),
            ("rows that do not beat together", medians.get("synchrony", 0.0) < _LEAST_SYNCHRONY),
            ("curves that are hard to see", medians.get("page_uncertainty", 0.0) > _MOST_UNCERTAINTY),
        )
        if holds
    ]
    return NoEcgFoundError(
        f"no ECG that can be read found in {source}",
        got=", ".join(found) or "curves unlike those of an ECG",
        expected="a printed ECG with its grid, its lead names and rows that show the same beats",
        hint="Photograph the whole page from above, sharp, filling the frame and in even light, or scan it.",
    )


def reject_low_quality(quality: float, least: float, source: str) -> LowQualityError:
    """Build the error for a page whose quality is lower than was asked for."""
    return LowQualityError(
        f"the reading of {source} is not good enough",
        got=f"a mean quality of {quality:.2f}",
        expected=f"at least {least:.2f}, as asked for",
        hint="Take a sharper photo of the whole page from above, closer and in even light; give the layout, speed and "
        "gain if you know them; or ask for less (--min-quality).",
    )
