"""Features of a reading that predict its quality: of each lead, and of the page.

They are computed from data that the stages have on the host anyway: rows of the pen, confidences, the grid, names.
Lengths are mm of the paper, so that they depend neither on speed nor on gain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ecg_trt.layout import LEADS, STANDARD_SPEED_MM_PER_S, upright
from ecg_trt.page.naming import DOUBTFUL_LABELS, Naming
from ecg_trt.page.scales import Scales
from ecg_trt.signal.resample import valid_columns
from ecg_trt.types import Array, GridWarp, PageAlignment, RectifiedPage, Strip, TraceMap

LEAD_FEATURES = (
    "uncertainty",  # log10 of the mean of 1 - confidence over the lead's columns that are seen.
    "uncertainty_steep",  # Likewise, weighted by the squared slope of the pen.
    "unseen",  # log10 of the share of columns without a trace, less the missing fraction.
    "missing_fraction",  # Share of the print of the lead that the record lacks.
    "height",  # log10 of the RMS height of the waves, mm.
    "tall",  # log10 of the greatest height, mm.
    "slope_height_ratio",  # log10 of the RMS slope over the RMS height, 1/mm.
    "limb_residual",  # log10 of the residual of the limb-lead sum in which the lead takes part, over the height.
    "length",  # log10 of the length of the lead's print, mm.
)
PAGE_FEATURES = (
    # Medians of the leads' features.
    "page_uncertainty", "page_uncertainty_steep", "page_unseen", "page_height", "page_slope_height_ratio",
    "page_limb_residual",  # Mean log10 of the residuals of the limb-lead sums, over the height.
    "page_limb_residual_known",  # 1 where all leads of a limb-lead sum are printed in the same columns.
    "repeats",  # Mean log10 of the difference of two prints of one lead, over their height.
    "repeats_known",  # 1 where a lead is printed twice in the same columns.
    "grid_off",  # log10 of the RMS distance of the grid's nodes from a smooth sheet, mm.
    "grid_known",  # 1 where a grid was seen.
    "grid_share",  # Share of nodes that were seen.
    "align_off",  # log10 of the median distance of the first alignment's points from a plane, mm.
    "align_share",  # Share of the first alignment's points that agree.
    "resolution",  # log10 of the photo's px a mm.
    "names", "nameless",  # Mean response to the lead names, 0..1, and its distance below that of any real name.
    "layout",  # Probability of the layout, 0..1.
    "missing",  # Share of the layout's leads that no strip shows.
    "strips",  # Mean score of the strips.
    "rows",  # Number of strips.
    "odd_length",  # Distance of log2 of the rows' length from that of the whole record at 25 mm/s.
    "scales_uncertainty",  # Log-odds, within +-7, that speed or gain is another.
    "legible",  # Log-odds a lead of names that are legible, read letter by letter; 0 where they were not read.
    "synchrony",  # Correlation of the rows' steepness: all leads show the same beats.
    "slope_concentration",  # Share of the squared slope in the steepest tenth of the columns: beats are rare and steep.
    "regular",  # Correlation of the rows' common steepness with itself, one beat on.
)  # fmt: skip

_MEDIANS = [LEAD_FEATURES.index(name.removeprefix("page_")) for name in PAGE_FEATURES[:5]]
_LEAST, _FEW = 1e-3, 50  # Least share under a logarithm, and least number of columns from which a feature is computed.
_MOST_LOG_ODDS = 7.0
_UNKNOWN_OFF, _UNKNOWN_SHARE = -1.0, -0.8  # Values of log10 mm and log10 shares that were not measured.
# Signed sums of leads that are zero by Einthoven's and by Goldberger's law.
_LIMB_LEAD_SUMS = ({"I": 1, "III": 1, "II": -1}, {"aVR": 1, "aVL": 1, "aVF": 1})
_BEAT_MM = 1.5  # Distance by which one beat may appear earlier or later in another row.
_BEAT_RANGE_MM = (7, 75)  # 40 to 200 beats a minute at 25 and at 50 mm/s.


@dataclass(frozen=True, slots=True)
class Evidence:
    """Results of the stages from which features are computed.

    Attributes:
        alignment: of the page in the photo.
        grid: the refined grid.
        page: frame of the trace; its pixels are not used.
        naming: layout and named strips, in the frame of the trace.
        trace: rows of the pen.
        scales: speed and gain, and their sources.
        missing: lead to the missing fraction of its print, 0..1.
    """

    alignment: PageAlignment
    grid: GridWarp
    page: RectifiedPage
    naming: Naming
    trace: TraceMap
    scales: Scales
    missing: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Columns of one segment: its lead, heights (mm, upright, NaN = unseen) and confidences."""

    lead: str
    first: int
    height: Array
    confidence: Array


def lead_features(evidence: Evidence, leads: Sequence[str] = LEADS) -> Array:
    """Compute features (len(leads), F) float64 of each lead and of its page, NaN for leads that no strip shows.

    The columns are `LEAD_FEATURES` and `PAGE_FEATURES`.
    """
    pieces = sorted(_pieces(evidence), key=lambda p: -len(p.height))
    used: dict[str, _Piece] = {}
    for piece in pieces:  # The longest print of a lead is the one that the record holds.
        if len(piece.height) >= _FEW:
            used.setdefault(piece.lead, piece)
    limb_residuals = _limb_lead_residuals(used)
    repeats = [_relative_residual([used[p.lead], p], [1, -1]) for p in pieces if p is not used.get(p.lead, p)]
    out = np.full((len(leads), len(LEAD_FEATURES)), np.nan)
    for k, lead in enumerate(leads):
        if lead in used:
            out[k] = _lead(used[lead], evidence.missing[lead], limb_residuals.get(lead), evidence.page.px_per_mm[0])
    printed = np.isfinite(out).all(1)
    page = _page(evidence, out[printed], [*limb_residuals.values()], repeats)
    return np.where(printed[:, None], np.hstack([out, np.broadcast_to(page, (len(leads), len(page)))]), np.nan)


def _pieces(evidence: Evidence) -> Iterator[_Piece]:
    page, trace = evidence.page, evidence.trace
    for strip, row, confidence in zip(evidence.naming.strips, trace.ridge_row, trace.confidence, strict=True):
        height = np.where(valid_columns(confidence, page.px_per_mm[0]), strip.zero_y_mm - page.y_mm(row), np.nan)
        for segment in strip.segments:
            first, last = (int(np.clip(column, 0, len(row))) for column in page.columns_between(segment.x_mm))
            lead, sign = upright(segment.lead)
            yield _Piece(lead, first, sign * height[first:last], np.where(np.isfinite(row), confidence, 0)[first:last])


def _lead(piece: _Piece, missing: float, limb_residual: float | None, px_per_mm: float) -> list[float]:
    """Compute `LEAD_FEATURES` of one piece; a lead that is hardly seen counts as flat and without confidence."""
    uncertainty, seen = 1 - piece.confidence, np.isfinite(piece.height)
    if seen.sum() < _FEW:
        return [0.0, 0.0, 0.0, missing, -1.0, -1.0, 0.0, 0.0, np.log10(len(uncertainty) / px_per_mm)]
    height = piece.height - np.nanmedian(piece.height)
    slope = np.abs(np.diff(height, prepend=height[0])) * px_per_mm
    steep = np.nan_to_num(slope) ** 2 + 1e-9
    rms = max(float(np.sqrt(np.nanmean(height**2))), 0.05)
    return [
        _log(uncertainty[seen].mean()),
        _log(float((uncertainty * steep).sum() / steep.sum())),
        _log(1 - seen.mean() - missing),
        missing,
        np.log10(rms),
        np.log10(max(np.nanmax(np.abs(height)), 0.1)),
        np.log10(max(float(np.sqrt(np.nanmean(slope**2))) / rms, 0.01)),
        _UNKNOWN_SHARE if limb_residual is None else np.log10(max(limb_residual, 0.01)),
        np.log10(len(uncertainty) / px_per_mm),
    ]


def _log(share: float) -> float:
    return float(np.log10(max(share, 0.0) + _LEAST))


def _log_odds(probability: float) -> float:
    """Natural log-odds within `_MOST_LOG_ODDS`."""
    least = 1 / (1 + np.exp(_MOST_LOG_ODDS))
    share = np.clip(probability, least, 1 - least)
    return float(np.log(share / (1 - share)))


def _limb_lead_residuals(used: Mapping[str, _Piece]) -> dict[str, float]:
    """Compute the limb-lead residual of each lead, as a share of the height, for leads that share columns.

    It is computed from the rows of the pen, and so depends neither on speed nor on gain.
    """
    found: dict[str, float] = {}
    for signs in _LIMB_LEAD_SUMS:
        if all(lead in used for lead in signs):
            share = _relative_residual([used[lead] for lead in signs], list(signs.values()))
            if np.isfinite(share):
                found |= dict.fromkeys(signs, share)
    return found


def _relative_residual(pieces: Sequence[_Piece], signs: Sequence[int]) -> float:
    """RMS of a signed sum that should be constant, over the RMS of its terms; NaN where these share few columns."""
    first = max(p.first for p in pieces)
    last = min(p.first + len(p.height) for p in pieces)
    if last - first < _FEW:
        return float("nan")
    terms = np.stack([s * p.height[first - p.first : last - p.first] for s, p in zip(signs, pieces, strict=True)])
    terms = terms[:, np.isfinite(terms).all(0)]
    if terms.shape[1] < _FEW:
        return float("nan")
    return float(terms.sum(0).std() / max(np.sqrt(terms.var(1).sum()), 0.05))


def _page(evidence: Evidence, leads: Array, limb_residuals: Sequence[float], repeats: Sequence[float]) -> Array:
    """Compute `PAGE_FEATURES`."""
    grid, naming, alignment = evidence.grid, evidence.naming, evidence.alignment
    medians = np.median(leads[:, _MEDIANS], axis=0) if len(leads) else np.array([0.0, 0.0, 0.0, -1.0, 0.0])
    seen = grid.is_seen and bool(np.isfinite(grid.residual_px))
    wanted = len({lead for row in naming.layout.rows for lead in row})
    return np.array([
        *medians,
        *_mean_share(limb_residuals), *_mean_share(repeats),
        np.log10(max(grid.residual_px / evidence.page.photo_px_per_mm, 0.01)) if seen else _UNKNOWN_OFF, float(seen),
        float(grid.measured.mean()),
        np.log10(max(float(np.median(alignment.residual_mm)), 0.01)) if len(alignment.residual_mm) else _UNKNOWN_OFF,
        float(alignment.inlier.mean()) if len(alignment.inlier) else 0.0,
        np.log10(max(evidence.page.photo_px_per_mm, 0.1)),
        naming.label_score, max(0.0, DOUBTFUL_LABELS - naming.label_score), naming.probability,
        len(naming.missing) / wanted,
        float(np.mean([s.score for s in naming.strips])) if naming.strips else 0.0, float(len(naming.strips)),
        abs(np.log2(max(naming.median_mm, 1.0) / (naming.layout.seconds * STANDARD_SPEED_MM_PER_S))),
        _log_odds(evidence.scales.uncertainty),
        naming.legible / max(1, sum(len(strip.segments) for strip in naming.strips)),
        *_beats(evidence),
    ])  # fmt: skip


def _mean_share(shares: Sequence[float]) -> tuple[float, float]:
    """Mean log10 of shares, and 1 if there is any, else 0."""
    known = [value for value in shares if np.isfinite(value)]
    return (float(np.mean(np.log10(np.maximum(known, 0.01)))), 1.0) if known else (_UNKNOWN_SHARE, 0.0)


def _beats(evidence: Evidence) -> tuple[float, float, float]:
    """Compute the features `synchrony`, `slope_concentration` and `regular`."""
    px_per_mm = evidence.page.px_per_mm[0]
    rows, shares = [], []
    for strip, row in zip(evidence.naming.strips, evidence.trace.ridge_row, strict=True):
        slope = np.abs(np.diff(_within(strip, row, evidence.page)))
        slope = np.minimum(np.nan_to_num(slope), 4 * px_per_mm)
        if np.count_nonzero(slope) < _FEW:
            continue
        power = np.sort(slope**2)[::-1]
        shares.append(float(power[: len(power) // 10].sum() / power.sum()))
        rows.append(cv2.GaussianBlur(slope[None], (0, 0), _BEAT_MM * px_per_mm)[0])
    slope_concentration = float(np.median(shares)) if shares else 0.0
    size = min((len(r) for r in rows), default=0)
    alive = [r[:size] - r[:size].mean() for r in rows if size >= _FEW and r[:size].std() > 0]
    if not alive:
        return 0.0, slope_concentration, 0.0
    units = np.array([r / np.linalg.norm(r) for r in alive])
    pairs = (units @ units.T)[np.triu_indices(len(units), 1)]
    return float(np.median(pairs)) if len(pairs) else 0.0, slope_concentration, _regular(units.sum(0), px_per_mm)


def _regular(steepness: Array, px_per_mm: float) -> float:
    """Compute the feature `regular` of the rows' common steepness (W,), whose mean is zero."""
    step = max(1, round(px_per_mm))
    coarse = steepness[: len(steepness) // step * step].reshape(-1, step).mean(1)  # One sample is 1 mm.
    low, high = _BEAT_RANGE_MM[0], min(_BEAT_RANGE_MM[1], len(coarse) // 2)
    if high <= low or not coarse.any():
        return 0.0
    lag, n = np.arange(low, high), len(coarse)
    sums, squares = (np.concatenate([[0.0], np.cumsum(v)]) for v in (coarse, coarse**2))
    # Pearson's correlation at every lag, from running sums.
    early, late = sums[n - lag], sums[n] - sums[lag]
    spread = (squares[n - lag] - early**2 / (n - lag)) * (squares[n] - squares[lag] - late**2 / (n - lag))
    alike = np.correlate(coarse, coarse, "full")[n - 1 + lag] - early * late / (n - lag)
    return float((alike / np.sqrt(np.maximum(spread, 1e-12))).max())


def _within(strip: Strip, row: Array, page: RectifiedPage) -> Array:
    """Rows of a strip between its ends."""
    first, last = (int(np.clip(column, 0, len(row))) for column in page.columns_between(strip.x_mm))
    return row[first:last]
