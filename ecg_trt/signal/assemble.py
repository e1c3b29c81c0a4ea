"""Assembly of rows of pixels to leads in millivolts on one clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ecg_trt.layout import LEADS, upright
from ecg_trt.signal.beats import beat_delays, time_corrected
from ecg_trt.signal.limb_leads import LIMB, blend_limb_leads, inconsistent_borders, limb_residual
from ecg_trt.signal.resample import fill_gaps, resample, valid_columns, without_end_steps
from ecg_trt.thresholds import RunThresholds
from ecg_trt.types import Array, LeadSpan, LimbLeadCheck, RectifiedPage, Segment, Strip, TraceMap

MOST_LIMB_RESIDUAL = 0.5  # Einthoven residual beyond which a limb lead was read wrongly or carries a wrong name.
# Cycles a millimetre: 75 Hz at 25 mm/s. A stroke of the pen is half a millimetre wide and more, so that faster waves
# are noise. On photos, scans and a render that were not trained on, 40 to 60 Hz cut waves, 70 to 80 Hz none.
_PASSBAND_PER_MM = 3.0
_MAX_GAP_S = 0.04  # Longest gap that is bridged.
_BORDER_MM = 1.5  # Error of the border between two leads of a row at most.
_END_MM, _END_STEP_MM = 0.3, 3.0  # A step of 3 mm within 0.3 mm of a lead's end belongs to something else.


def segment_starts_s(strip: Strip, speed_mm_per_s: float) -> list[float]:
    """Start of each segment of a strip on the record's clock, s: the paper's time since the strip's beginning."""
    return [(segment.x_mm[0] - strip.x_mm[0] - segment.earlier_mm) / speed_mm_per_s for segment in strip.segments]


def lead_spans(strips: Sequence[Strip], speed_mm_per_s: float) -> tuple[LeadSpan, ...]:
    """List the leads of all strips with the seconds that each shows."""
    return tuple(
        LeadSpan(upright(segment.lead)[0], row, start, start + (segment.x_mm[1] - segment.x_mm[0]) / speed_mm_per_s)
        for row, strip in enumerate(strips)
        for segment, start in zip(strip.segments, segment_starts_s(strip, speed_mm_per_s), strict=True)
    )


def _read(page: RectifiedPage, row: Array, confidence: Array, strip: Strip, segment: Segment, speed: float,
          gain: float, thresholds: RunThresholds | None) -> tuple[Array, Array, float]:  # fmt: skip
    """Convert one segment to samples (mV), their times since its start (s), and its quality."""
    sx = page.px_per_mm[0]
    first = max(0, int(np.ceil(page.column(segment.x_mm[0]) - 1e-6)))
    last = min(len(row), int(np.ceil(page.column(segment.x_mm[1]) - 1e-6)))
    if last - first < 2:
        return np.empty(0), np.empty(0), 0.0
    columns = np.arange(first, last)
    times = (page.x_mm(columns) - segment.x_mm[0]) / speed
    mv = (strip.zero_y_mm - page.y_mm(row[columns])) / gain
    column_confidence = confidence[columns]
    filled = fill_gaps(mv, valid_columns(confidence, sx, thresholds)[columns], round(_MAX_GAP_S * speed * sx))
    filled = without_end_steps(filled, round(_END_MM * sx), _END_STEP_MM / gain)
    whole = (segment.x_mm[1] - segment.x_mm[0]) * sx
    return filled, times, float(np.sum(column_confidence * np.isfinite(filled)) / whole)


def assemble(
    page: RectifiedPage,
    strips: Sequence[Strip],
    trace: TraceMap,
    *,
    leads: Sequence[str],
    speed: float,
    gain_of: Callable[[str], float],
    fs: float,
    seconds: float,
    blends_limb_leads: bool = True,
    thresholds: RunThresholds | None = None,
) -> tuple[Array, Array, float, tuple[LimbLeadCheck, ...]]:
    """Assemble all segments on the record's clock, beats time-corrected across rows and limb leads made consistent.

    Where a lead is printed twice, the longer print counts and the shorter fills its gaps.

    Args:
        page: frame of the trace.
        strips: named strips.
        trace: rows of the pen.
        leads: of the result; limb leads are made consistent only where the twelve stand first.
        speed: mm/s.
        gain_of: gain of a lead, mm/mV.
        fs: Hz of the result.
        seconds: its length.
        blends_limb_leads: whether limb leads are made consistent.
        thresholds: of the confidence, see `valid_columns`; those of the package if None.

    Returns:
        (leads, seconds * fs) float32 mV, NaN where nothing is printed or seen; (leads,) float32 quality, NaN for leads
        that the page does not print, less for limb leads that contradict each other; and before they were blended, the
        `limb_residual` of the leads, and the checks of all limb leads.
    """
    n = round(seconds * fs)
    signal = np.full((len(leads), n), np.nan)
    in_columns = signal.copy()  # The leads of the columns, which are simultaneous; rhythm strips may not be.
    quality = np.full(len(leads), np.nan)
    pieces = [
        (
            segment,
            start,
            *_read(
                page, trace.ridge_row[k], trace.confidence[k], strip, segment, speed, gain_of(segment.lead), thresholds
            ),
        )
        for k, strip in enumerate(strips)
        for segment, start in zip(strip.segments, segment_starts_s(strip, speed), strict=True)
    ]
    pieces.sort(key=lambda piece: piece[0].x_mm[0] - piece[0].x_mm[1])
    placed = _time_corrected_pieces([(mv, times + start) for _, start, mv, times, _ in pieces], fs, n, speed)
    for (segment, _, _, _, piece_quality), samples in zip(pieces, placed, strict=True):
        name, sign = upright(segment.lead)
        lead = leads.index(name)
        signal[lead] = np.where(np.isfinite(signal[lead]), signal[lead], sign * samples)
        in_columns[lead] = np.where(np.isfinite(samples), sign * samples, in_columns[lead])
        if np.isnan(quality[lead]):
            quality[lead] = piece_quality
    residual, checks = float("nan"), tuple[LimbLeadCheck, ...]()
    if tuple(leads[: len(LEADS)]) == LEADS:
        inconsistent = inconsistent_borders(in_columns[:LIMB], round(_BORDER_MM / speed * fs))
        signal[:LIMB][inconsistent & (signal[:LIMB] == in_columns[:LIMB])] = np.nan
        in_columns[:LIMB][inconsistent] = np.nan
        twelve = slice(len(LEADS))
        # NaN, where one was not measured, gives way to the other.
        residual = float(np.fmin(limb_residual(signal[twelve]), limb_residual(in_columns[twelve])))
        trust = np.nan_to_num(quality[twelve]).clip(0, 1) ** 2
        signal[twelve], checks = blend_limb_leads(
            signal[twelve], in_columns[twelve], trust, fs, blends=blends_limb_leads
        )
    if residual > MOST_LIMB_RESIDUAL:
        quality[:LIMB] *= MOST_LIMB_RESIDUAL / residual
    return signal.astype(np.float32), quality.clip(0, 1).astype(np.float32), residual, checks


def missing_fractions(
    signal: Array, strips: Sequence[Strip], *, leads: Sequence[str], speed: float, fs: float
) -> dict[str, float]:
    """Measure the fraction of each printed lead that the record lacks, 0..1, within the record's time.

    It is 1 for leads that are printed later. Leads that are not printed have no entry.

    Args:
        signal: (leads, n) from `assemble`.
        strips: named strips.
        leads: of the record.
        speed: mm/s.
        fs: Hz.
    """
    printed: dict[str, Array] = {}
    for strip in strips:
        for segment, start in zip(strip.segments, segment_starts_s(strip, speed), strict=True):
            lead, end = upright(segment.lead)[0], start + (segment.x_mm[1] - segment.x_mm[0]) / speed
            mask = printed.setdefault(lead, np.zeros(signal.shape[1], bool))
            mask[round(start * fs) : round(end * fs)] = True
    return {lead: float(np.isnan(signal[leads.index(lead), mask]).mean()) if mask.any() else 1.0
            for lead, mask in printed.items()}  # fmt: skip


def _time_corrected_pieces(pieces: Sequence[tuple[Array, Array]], fs: float, n: int, speed: float) -> Array:
    """Resample all pieces (mV, s) to the record's clock (pieces, n), each beat at one time in all of them."""
    band = _PASSBAND_PER_MM * speed
    placed = np.array([resample(mv, times, fs, n, passband_hz=band) for mv, times in pieces]).reshape(-1, n)
    beats, delay = beat_delays(placed, fs, speed)
    for samples, (mv, times), row_delay in zip(placed, pieces, delay, strict=True):
        if np.isfinite(row_delay).any():
            samples[:] = resample(mv, time_corrected(times, beats, row_delay), fs, n, passband_hz=band)
    return placed
