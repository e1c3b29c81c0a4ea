"""Several photos of one page: from a record of each to one record."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from ecg_trt.errors import DifferentPagesError, EcgTrtError, InputError, OptionError, PageError
from ecg_trt.layout import LAYOUTS, SHOWN_SHARES, upright
from ecg_trt.quality.model import EVEN_DB, quality_of
from ecg_trt.quality.warnings import PART_MISSING, reject_low_quality, unreliable
from ecg_trt.record import EcgRecord, in_order
from ecg_trt.signal.merge import MergedLeads, correlations, merge_leads
from ecg_trt.signal.resample import resample
from ecg_trt.types import Array, LeadSpan, LimbLeadCheck, MergedPhoto, PageWarning, WarningCode

_Value = TypeVar("_Value", float, str)
_Stretch = TypeVar("_Stretch", LeadSpan, LimbLeadCheck)

# Correlation from which two readings show one page. Of 12 synthetic pages, photos that were read at one layout and
# scale correlate by 0.9 and more, those of different pages by less than 0.4.
SAME_PAGE_CORRELATION = 0.6
_LEAST_MAJORITY = 1.5  # Weight of the photos that agree beside that of the others, for these to be left out.
_ASSUMED = 0.1  # Share that an assumed speed or gain counts beside one that was read.
_MOST_SNR_DB = 60.0  # That counts: the SNR of a signal that was not digitized is infinite.
# Warnings about gaps and quality, which the merged record may have lost; they are given anew.
_GIVEN_ANEW = frozenset((WarningCode.UNRELIABLE_PAGE, WarningCode.UNRELIABLE_LEADS, WarningCode.PARTLY_MISSING,
                        WarningCode.LEADS_MISSING))  # fmt: skip
_DISPUTED = {"speed": WarningCode.SPEED_DISPUTED, "gain": WarningCode.GAIN_DISPUTED}
_OTHER_CURVES = "it shows other curves than the others: another page, or one that was read wrongly."
_TEXTS = {
    WarningCode.PHOTOS_DISAGREE: "The photos of this page disagree in {leads}: what most of them show, or the better "
    "ones, was taken. Compare these leads with the page.",
    WarningCode.PHOTO_LEFT_OUT: "{photo} was left out: {why}",
    WarningCode.SPEED_DISPUTED: "The photos were read at different paper speeds ({readings}); {chosen} mm/s was taken. "
    "Compare it with the page, or give --speed.",
    WarningCode.GAIN_DISPUTED: "The photos were read at different gains ({readings}); {chosen} mm/mV was taken. "
    "Compare it with the page, or give --gain.",
    WarningCode.UNRELIABLE_PAGE: "Do not rely on any lead: the photos were not read well, or contradict each other. "
    "Compare the record with the page.",
    WarningCode.PARTLY_MISSING: "Not seen in any photo (cut off, covered, too faint, or the row ends earlier), and "
    "left empty: {shares}.",
    WarningCode.LEADS_MISSING: "Not found in any photo, cut off or covered: {leads}. Nothing is given for them.",
}


def merge_answers(
    sources: Sequence[str], answers: Iterable[EcgRecord | EcgTrtError], *, min_quality: float = 0.0
) -> EcgRecord:
    """Merge what came of the photos of one page; photos that could not be read are left out, with a warning.

    Args:
        sources: names of the photos, for messages.
        answers: the record of each, or the error that it met.
        min_quality: pages whose mean quality comes out lower are rejected.

    Raises:
        EcgTrtError: the first error, if no photo could be read, or the first that is no fault of a photo.
        DifferentPagesError: the photos do not show one page.
        LowQualityError: the merged record has less quality than requested.
        OptionError: there is no photo.
    """
    records: list[EcgRecord] = []
    left_out: list[tuple[str, str]] = []
    first: EcgTrtError | None = None
    for source, answer in zip(sources, answers, strict=True):
        if isinstance(answer, EcgRecord):
            records.append(answer)
            continue
        if not isinstance(answer, (InputError, PageError)) and answer.__cause__ is None:
            raise answer
        first = first or answer
        left_out.append((source, str(answer)))
    if first and not records:
        raise first
    merged = merge_records(records)
    warnings = (_warn(WarningCode.PHOTO_LEFT_OUT, photo=photo, why=why) for photo, why in left_out)
    blank = np.full(len(merged.lead_names), np.nan)
    photos = (MergedPhoto(photo, blank, blank, why) for photo, why in left_out)
    if left_out:
        own = merged.photos or (_alone(merged),)
        merged = replace(merged, warnings=(*warnings, *merged.warnings), photos=(*own, *photos))
    if not merged.mean_quality >= min_quality:
        raise reject_low_quality(merged.mean_quality, min_quality, merged.source)
    return merged


def name_of(source: object) -> str:
    """Name a photo for messages: its path, or what it was called where it was loaded."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    named = getattr(source, "source", None)
    return named if isinstance(named, str) else f"<{type(source).__name__}>"


def merge_records(records: Sequence[EcgRecord]) -> EcgRecord:
    """Merge records of several photos of one page to one.

    Leads are aligned in time and level and averaged, each photo by its precision: by the SNR that is expected of it,
    and by what it differs from the others. A photo that shows other curves than most is left out.

    Args:
        records: of photos of one page, at one sampling rate; a single one comes back as it is.

    Returns:
        A record with the layout, speed and gain that have most weight. Its `photos` hold the weight and the lag of each
        photo. The expected SNR counts what was measured: where photos disagree, it falls.

    Raises:
        DifferentPagesError: the photos do not show one page.
        OptionError: no record, or different sampling rates.
    """
    if not records:
        raise OptionError("No photo was given", got="none", expected="at least one photo of the page",
                          hint="Give the photos as a list.")  # fmt: skip
    if len({record.fs for record in records}) > 1:
        raise OptionError("The records cannot be merged", got=f"{sorted({r.fs for r in records})} Hz",
                          expected="one sampling rate", hint="Digitize all photos with one fs.")  # fmt: skip
    if len(records) == 1:
        return records[0]
    belongs = _same_page(records)
    members = [record for record, is_in in zip(records, belongs, strict=True) if is_in]
    scales, at = _Scales.of(members), _main_index(members)
    leads = members[at].lead_names
    signal, stretch = _on_one_clock(members, scales, leads)
    main, n = _stretched(members[at], stretch[at]), round(members[at].signal_mv.shape[1] * stretch[at])
    merged = merge_leads(signal[..., :n], _expected_noise(members, signal[..., :n], leads), main.fs)
    return _record(records, belongs, main, scales, merged)


@dataclass(frozen=True, slots=True)
class _Scales:
    """Speed (mm/s) and gain (mm/mV) of the merged record, with what to know of them."""

    speed: float
    gain: float
    assumed: tuple[str, ...]
    warnings: tuple[PageWarning, ...]

    @classmethod
    def of(cls, records: Sequence[EcgRecord]) -> _Scales:
        """Take what has most weight: photos count by their quality, and little where they assumed a scale."""
        scales = {"speed": [r.paper_speed_mm_per_s for r in records], "gain": [r.gain_mm_per_mv for r in records]}
        chosen: dict[str, float] = {}
        assumed, warnings = [], []
        for name, values in scales.items():
            is_assumed = [name in record.assumed for record in records]
            weights = [_trust(r) * (_ASSUMED if a else 1.0) for r, a in zip(records, is_assumed, strict=True)]
            best = chosen[name] = _heaviest(values, weights)
            if all(a for value, a in zip(values, is_assumed, strict=True) if value == best):
                assumed.append(name)
            if len(set(values)) > 1:
                readings = ", ".join(f"{value:g}" for value in values)
                warnings.append(_warn(_DISPUTED[name], readings=readings, chosen=f"{best:g}"))
        return cls(chosen["speed"], chosen["gain"], tuple(assumed), tuple(warnings))


def _trust(record: EcgRecord) -> float:
    """Weight of a photo's word on what the whole page shows: its quality, above 0."""
    quality = record.mean_quality
    return 0.01 + (quality if math.isfinite(quality) else 0.0)


def _heaviest(values: Sequence[_Value], weights: Sequence[float]) -> _Value:
    """Find the value whose weights add up to most; the first of equals."""
    total = dict.fromkeys(values, 0.0)
    for value, weight in zip(values, weights, strict=True):
        total[value] += weight
    return max(total, key=lambda value: total[value])


def _main_index(records: Sequence[EcgRecord]) -> int:
    """Find the record of highest quality among those of the layout that has most weight: its place in the list."""
    layout = _heaviest([r.layout for r in records], [_trust(r) * r.layout_probability for r in records])
    return max((k for k, record in enumerate(records) if record.layout == layout), key=lambda k: _trust(records[k]))


def _stretched(record: EcgRecord, factor: float) -> EcgRecord:
    """Copy a record, its samples as they are, with all other times stretched by a factor."""

    def moved(part: _Stretch) -> _Stretch:
        return replace(part, start_s=part.start_s * factor, end_s=part.end_s * factor)

    return replace(record, spans=tuple(map(moved, record.spans)), limb_leads=tuple(map(moved, record.limb_leads)))


def _on_one_clock(records: Sequence[EcgRecord], scales: _Scales, leads: Sequence[str]) -> tuple[Array, list[float]]:
    """Bring all records to the same leads, speed and gain, at the length of the longest.

    A photo that was read at another speed or gain than the one that is taken is stretched to it, unless its curves
    agree better as they are: without a legible grid the millimetre may have been misread by the same factor.

    Returns:
        (records, leads, n) mV, and the factor by which each record was stretched in time.
    """
    fs, stretch = records[0].fs, [record.paper_speed_mm_per_s / scales.speed for record in records]
    n = max(round(r.signal_mv.shape[1] * max(1.0, factor)) for r, factor in zip(records, stretch, strict=True))
    rows = [_placed(in_order(record.signal_mv, record.lead_names, leads), fs, 1.0, n) for record in records]
    agreeing = [k for k, r in enumerate(records) if r.paper_speed_mm_per_s == scales.speed]
    main = rows[max(agreeing, key=lambda k: _trust(records[k]))]
    for k, record in enumerate(records):
        if stretch[k] == 1.0:
            continue
        stretched = _placed(in_order(record.signal_mv, record.lead_names, leads), fs, stretch[k], n)
        likeness = correlations(np.stack([main, rows[k], stretched]), fs)[0]
        if likeness[1] > likeness[2]:
            stretch[k] = 1.0
        else:
            rows[k] = stretched
    agreeing = [k for k, r in enumerate(records) if r.gain_mm_per_mv == scales.gain]
    height = _height(rows[max(agreeing, key=lambda k: _trust(records[k]))])
    for k, record in enumerate(records):
        factor = record.gain_mm_per_mv / scales.gain
        off = np.log(_height(rows[k]) / height)
        rows[k] = rows[k] * (factor if abs(off + math.log(factor)) < abs(off) else 1.0)
    return np.stack(rows), stretch


def _height(signal: Array) -> float:
    """RMS of a record's leads about their means, mV, above 0."""
    seen = np.isfinite(signal)
    mean = np.where(seen, signal, 0.0).sum(1) / np.maximum(seen.sum(1), 1)
    square = np.where(seen, signal - mean[:, None], 0.0) ** 2
    return float(np.sqrt(square.sum() / max(int(seen.sum()), 1))) + 1e-6


def _placed(signal: Array, fs: float, stretch: float, n: int) -> Array:
    """Copy leads to (leads, n), stretched in time by a factor."""
    if stretch != 1.0:
        return np.stack([resample(lead, np.arange(signal.shape[1]) / fs * stretch, fs, n) for lead in signal])
    shown = signal[:, :n]
    return np.pad(shown, ((0, 0), (0, n - shown.shape[1])), constant_values=np.nan)


def _same_page(records: Sequence[EcgRecord]) -> Array:
    """Find the photos (records,) bool that show one page, by all leads that any of them shows.

    Raises:
        DifferentPagesError: those that show other curves have as much weight.
    """
    leads = tuple(dict.fromkeys(lead for record in records for lead in record.lead_names))
    signal, _ = _on_one_clock(records, _Scales.of(records), leads)
    agree = correlations(signal, records[0].fs) >= SAME_PAGE_CORRELATION
    trust = np.array([_trust(record) for record in records])
    belongs: Array = agree[int((agree @ trust + 1e-3 * trust).argmax())]
    inside, outside = float(trust[belongs].sum()), float(trust[~belongs].sum())
    if inside > _LEAST_MAJORITY * outside:
        return belongs
    ours, others = (", ".join(r.source for r, b in zip(records, belongs, strict=True) if b == side) for side in (1, 0))
    raise DifferentPagesError(
        "The photos do not show one page",
        got=f"other curves in {others} than in {ours}",
        expected=f"curves that correlate by at least {SAME_PAGE_CORRELATION:g} in the leads that they share",
        hint="Give photos of one page alone. If they are, give layout, speed and gain, or leave out the worst photo.",
    )


def _expected_snr_db(records: Sequence[EcgRecord], leads: Sequence[str]) -> Array:
    """Expected SNR of each lead in each record, (records, leads) dB, NaN where it is not printed."""
    return np.stack([in_order(r.snr_db[:, None], r.lead_names, leads)[:, 0] for r in records])


def _expected_noise(records: Sequence[EcgRecord], signal: Array, leads: Sequence[str]) -> Array:
    """Variance (records, leads) of the noise that is expected where a lead was seen, mV^2; NaN where unknown.

    The expected SNR counts missing samples as noise; they are no reason to distrust the others.
    """
    share = 10 ** (-np.minimum(_expected_snr_db(records, leads), _MOST_SNR_DB) / 10)
    seen_by_any = np.isfinite(signal).any(0).sum(1)
    missing = (1 - np.isfinite(signal).sum(2) / np.maximum(seen_by_any, 1)).clip(0, 0.99)
    seen = np.maximum((share - missing) / (1 - missing), 0.1 * share)
    return np.asarray(seen * _power(signal))


def _power(signal: Array) -> Array:
    """Mean square (.., leads) of the samples that are there, mV^2; NaN for leads without any."""
    seen = np.isfinite(signal)
    count = seen.sum(-1)
    return np.where(count > 0, (np.where(seen, signal, 0.0) ** 2).sum(-1) / np.maximum(count, 1), np.nan)


def _printed(layout: str, leads: Sequence[str], signal: Array, fs: float) -> Array:
    """Mask (leads, n) of the samples that the page prints: by its layout, or all between a lead's first and last."""
    seen = np.isfinite(signal)
    if layout not in LAYOUTS:
        has_begun, has_more = (np.logical_or.accumulate(seen[:, ::step], 1)[:, ::step] for step in (1, -1))
        return np.asarray(has_begun & has_more)
    known, out = LAYOUTS[layout], np.zeros(signal.shape, bool)
    end_s = (np.flatnonzero(seen.any(0))[-1] + 1) / fs if seen.any() else 0.0
    lengths = (share * known.seconds for share in SHOWN_SHARES)
    shown_s = next((length for length in lengths if end_s <= 1.05 * length), known.seconds)
    for k in range(len(known.rows)):
        for printed, start, end in known.spans(k, shown_s):
            lead = upright(printed)[0]
            if lead in leads:
                out[leads.index(lead), round(start * fs) : round(end * fs)] = True
    return out | seen


def _record(
    records: Sequence[EcgRecord], belongs: Array, main: EcgRecord, scales: _Scales, merged: MergedLeads
) -> EcgRecord:
    """Write the merged record: what its samples do not decide is that of `main`."""
    members = [record for record, is_in in zip(records, belongs, strict=True) if is_in]
    leads = main.lead_names
    expected = _expected_snr_db(members, leads)
    on_page = _printed(main.layout, leads, merged.signal_mv, main.fs).sum(1)
    missing = 1 - np.isfinite(merged.signal_mv).sum(1) / np.maximum(on_page, 1)
    is_printed = np.isfinite(expected).any(0)
    snr_db = _snr_db(merged, missing) if len(members) > 1 else expected[0]
    snr_db = np.where(is_printed, snr_db, np.nan).astype(np.float32)
    quality = quality_of(snr_db).astype(np.float32)
    photos = _photos(records, belongs, merged)
    warnings = (
        *scales.warnings,
        *(_warn(WarningCode.PHOTO_LEFT_OUT, photo=p.source, why=p.left_out) for p in photos if p.left_out),
        *unreliable(quality, leads, _TEXTS[WarningCode.UNRELIABLE_PAGE]),
        *_disagreements(members, merged, leads),
        *_gaps(np.where(is_printed, missing, np.nan), leads),
        *_common_warnings(members, np.nan_to_num(merged.weight).sum(1)),
    )
    return replace(
        main, signal_mv=merged.signal_mv.astype(np.float32),
        paper_speed_mm_per_s=scales.speed, gain_mm_per_mv=scales.gain, assumed=scales.assumed,
        chest_gain_mm_per_mv=main.chest_gain_mm_per_mv if main.gain_mm_per_mv == scales.gain else None,
        quality=quality, snr_db=snr_db, warnings=warnings, timings_ms=_times(records),
        source=records[0].source, photos=photos, outline_px=(), px_per_mm=None,
        corrected=tuple(dict.fromkeys(what for record in members for what in record.corrected)),
    )  # fmt: skip


def _snr_db(merged: MergedLeads, missing: Array) -> Array:
    """SNR (leads,) that is left, dB, missing samples counting as noise; 0 for leads without any sample."""
    seen = np.isfinite(merged.signal_mv)
    noise = np.where(seen, merged.noise_mv2, 0.0).sum(1) / np.maximum(seen.sum(1), 1)
    power = _power(merged.signal_mv)
    share = np.where(seen.any(1) & (power > 0), noise / np.where(power > 0, power, 1.0), 1.0)
    return np.asarray(-10 * np.log10((1 - missing) * share + missing))


def _photos(records: Sequence[EcgRecord], belongs: Array, merged: MergedLeads) -> tuple[MergedPhoto, ...]:
    shares = iter(zip(merged.weight, merged.lag_s, strict=True))
    blank = np.full(merged.weight.shape[1], np.nan)
    return tuple(
        MergedPhoto(record.source, *next(shares)) if is_in else MergedPhoto(record.source, blank, blank, _OTHER_CURVES)
        for record, is_in in zip(records, belongs, strict=True)
    )


def _alone(record: EcgRecord) -> MergedPhoto:
    printed = np.isfinite(record.signal_mv).any(1)
    return MergedPhoto(record.source, np.where(printed, 1.0, np.nan), np.where(printed, 0.0, np.nan))


def _times(records: Sequence[EcgRecord]) -> dict[str, float]:
    """Add up the times of all photos, ms."""
    steps = dict.fromkeys(step for record in records for step in record.timings_ms)
    return {step: float(sum(record.timings_ms.get(step, 0.0) for record in records)) for step in steps}


def _disagreements(records: Sequence[EcgRecord], merged: MergedLeads, leads: Sequence[str]) -> Iterator[PageWarning]:
    """Warn of leads that a photo was thought to show well, and in which it differs much from the others."""
    expected = _expected_snr_db(records, leads)
    with np.errstate(divide="ignore", invalid="ignore"):
        measured = 10 * np.log10(_power(merged.signal_mv) / merged.residual_mv2)
    differs = (expected >= EVEN_DB) & (measured < EVEN_DB)
    found = [f"{lead} ({', '.join(r.source for r, is_off in zip(records, column, strict=True) if is_off)})"
             for lead, column in zip(leads, differs.T, strict=True) if column.any()]  # fmt: skip
    if found and len(records) > 1:
        yield _warn(WarningCode.PHOTOS_DISAGREE, leads=", ".join(found))


def _gaps(missing: Array, leads: Sequence[str]) -> Iterator[PageWarning]:
    """Warn of what no photo shows; `missing` is NaN for leads that are not printed."""
    shares = dict(zip(leads, missing.tolist(), strict=True))
    part = [f"{min(99, round(100 * share))} % of {lead}" for lead, share in shares.items() if PART_MISSING < share < 1]
    if part:
        yield _warn(WarningCode.PARTLY_MISSING, shares=", ".join(part))
    none = [lead for lead, share in shares.items() if share >= 1]
    if none:
        yield _warn(WarningCode.LEADS_MISSING, leads=", ".join(none))


def _common_warnings(records: Sequence[EcgRecord], weight: Array) -> Iterator[PageWarning]:
    """Keep the warnings of photos of more than half of the weight, in the words of the heaviest."""
    order = np.argsort(-weight, kind="stable")
    for code in dict.fromkeys(w.code for record in records for w in record.warnings if w.code not in _GIVEN_ANEW):
        texts = {int(k): w for k in order for w in records[k].warnings if w.code == code}
        if weight[list(texts)].sum() > 0.5 * weight.sum():
            yield next(iter(texts.values()))


def _warn(code: WarningCode, **fields: object) -> PageWarning:
    return PageWarning(code, _TEXTS[code].format(**fields))
