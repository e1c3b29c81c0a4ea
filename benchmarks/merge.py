"""Gain of several photos of one page: `python benchmarks/merge.py --pages 40 --photos 5`.

Draws synthetic pages that no training run has seen, takes several pictures of each, digitizes these one by one, and
scores single photos, their plain mean and the merged records by the PhysioNet 2025 metric (`ecg_trt.metrics`), which
shifts leads by whole samples of 2 ms, and again with sub-sample shifts. The records are kept under runs/, so that a
change of the merging is measured in a minute; for other networks they are digitized anew. The pictures of a page differ
in camera, light and folds; with --same-folds the paper stays as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import ROOT, weights, write_results
from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import EcgTrtError
from ecg_trt.layout import LEADS, longest_record_seconds
from ecg_trt.merging import merge_records
from ecg_trt.metrics import score_record
from ecg_trt.record import EcgRecord, in_order
from ecg_trt.signal.resample import resample
from ecg_trt.synth.capture import draw_capture, photograph
from ecg_trt.synth.page import draw_page
from ecg_trt.synth.sample import truth_of
from ecg_trt.synth.signals import simulate
from ecg_trt.synth.spec import draw_spec
from ecg_trt.types import Array

SEED = 50_000_000  # Neither training's nor another benchmark's.
MERGED = (2, 3, 5)  # Numbers of photos that are merged.
_FS, _PAGE_PX_PER_MM, _FRAME_HW = 500.0, 10.0, (2250, 3000)
_SUBSAMPLE_S = np.linspace(-0.001, 0.001, 5)  # Shifts within a sample of 2 ms, s.


@dataclass(frozen=True, slots=True)
class PhotographedPage:
    """Readings of all photos of one page: what is printed, and the record of each photo that was answered."""

    truth: EcgRecord
    records: tuple[EcgRecord, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Scores of one choice of photos, dB.

    Attributes:
        photos: how many there are.
        random: mean of single photos.
        best_expected: the photo of highest expected SNR.
        best: the best by its truth.
        plain: mean of the samples of all photos as they stand.
        merged: the merged record, 0 where the photos were rejected as different pages.
        bias: median over leads of the merged record's expected SNR minus the true one, NaN where there is none.
    """

    photos: int
    random: float
    best_expected: float
    best: float
    plain: float
    merged: float
    bias: float


def photograph_page(digitizer: Digitizer, seed: int, photos: int, same_folds: bool) -> PhotographedPage:
    """Draw a page, photograph it several times, and digitize each photo."""
    rng = np.random.default_rng(seed)
    signal = simulate(rng, fs=_FS, seconds=longest_record_seconds())
    page = draw_page(rng, signal, _FS, px_per_mm=_PAGE_PX_PER_MM, spec=draw_spec(rng))
    frame = _FRAME_HW if page.spec.size_mm[0] >= page.spec.size_mm[1] else _FRAME_HW[::-1]
    severity = float(rng.beta(1.2, 1.8) * (rng.random() < 0.9))  # As training draws it.
    surface, records = None, []
    for k in range(photos):
        own = np.random.default_rng((seed, k))
        capture = draw_capture(own, page.spec.size_mm, frame, kind="photo", severity=severity)
        surface = capture.surface if surface is None or not same_folds else surface
        image = photograph(page.image, page.px_per_mm, replace(capture, surface=surface), own)
        try:
            records.append(digitizer(image))
        except EcgTrtError as error:
            print(f"{seed} photo {k}: {type(error).__name__}", flush=True)
    return PhotographedPage(truth_of(page, f"synthetic, seed {seed}"), tuple(records))


def collect(pages: int, photos: int, seed: int, same_folds: bool, cache: Path) -> Iterator[PhotographedPage]:
    """Read all pages, from the cache where it has them."""
    digitizer: Digitizer | None = None
    for k in range(pages):
        path = cache / f"{seed + k}-{photos}{'-same-folds' if same_folds else ''}.pickle"
        if not path.exists():
            digitizer = digitizer or Digitizer()
            page = photograph_page(digitizer, seed + k, photos, same_folds)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(pickle.dumps([_as_dict(record) for record in (page.truth, *page.records)]))
        truth, *answers = pickle.loads(path.read_bytes())
        records = tuple(EcgRecord(**answer) for answer in answers if isinstance(answer, dict))
        yield PhotographedPage(EcgRecord(**truth), records)
    if digitizer is not None:
        digitizer.close()


def _as_dict(record: EcgRecord) -> dict[str, Any]:
    """Plain values, which another version of the package can read."""
    return {f.name: getattr(record, f.name) for f in fields(record) if f.name not in ("limb_leads", "photos")}


def snr_db(truth: EcgRecord, signal: Array, leads: Sequence[str]) -> Array:
    """Score a record, (2,) dB: with shifts of whole samples, and at the best shift within a sample."""
    answer = in_order(signal, leads, LEADS)
    times = np.arange(answer.shape[1]) / _FS
    moved = ([resample(lead, times + s, _FS, len(lead)) for lead in answer] if s else answer for s in _SUBSAMPLE_S)
    scores = [score_record(truth.signal_mv, truth.fs, np.asarray(one), _FS).snr_db for one in moved]
    return np.array([scores[len(scores) // 2], max(scores)])


def choices(page: PhotographedPage) -> Iterator[tuple[Choice, Choice]]:
    """Score choices of photos of a page, each photo as often, with shifts of whole samples and with finer ones."""
    records = [replace(record, source=f"photo {k}") for k, record in enumerate(page.records)]
    single = np.array([snr_db(page.truth, record.signal_mv, record.lead_names) for record in records])
    for count in MERGED:
        for first in range(len(records) if count < len(records) else count == len(records)):
            at = [(first + k) % len(records) for k in range(count)]
            chosen, own = [records[k] for k in at], single[at]
            plain = snr_db(page.truth, _plain_mean(chosen), LEADS)
            merged, bias = np.zeros(2), float("nan")
            try:
                record = merge_records(chosen)
                merged, bias = snr_db(page.truth, record.signal_mv, record.lead_names), _bias_db(page.truth, record)
            except EcgTrtError as error:
                print(f"{page.truth.source}: {error.got}")
            trusted = own[int(np.argmax([record.mean_quality for record in chosen]))]
            whole, fine = np.stack([own.mean(0), trusted, own.max(0), plain, merged], 1)
            yield _choice(count, bias, whole), _choice(count, bias, fine)


def _choice(photos: int, bias: float, scores: Array) -> Choice:
    random, best_expected, best, plain, merged = scores.tolist()
    return Choice(photos, random, best_expected, best, plain, merged, bias)


def _plain_mean(records: Sequence[EcgRecord]) -> Array:
    """Mean (12, n) of the samples of all records, as they stand."""
    n = max(record.signal_mv.shape[1] for record in records)
    out = np.full((len(records), len(LEADS), n), np.nan)
    for row, record in zip(out, records, strict=True):
        row[:, : record.signal_mv.shape[1]] = in_order(record.signal_mv, record.lead_names, LEADS)
    count = np.isfinite(out).sum(0)
    return np.where(count > 0, np.nansum(out, 0) / np.maximum(count, 1), np.nan)


def _bias_db(truth: EcgRecord, record: EcgRecord) -> float:
    answer = in_order(record.signal_mv, record.lead_names, LEADS)
    true = score_record(truth.signal_mv, truth.fs, answer, _FS).lead_snr_db
    return float(np.nanmedian(in_order(record.snr_db[:, None], record.lead_names, LEADS)[:, 0] - true))


def summarise(found: Sequence[Choice]) -> dict[str, dict[str, float]]:
    """Means over choices for each number of photos, and the worst case, dB."""
    out = {}
    for count in MERGED:
        mine = [choice for choice in found if choice.photos == count]
        if not mine:
            continue
        means: dict[str, float] = {name: _mean(mine, lambda c, name=name: getattr(c, name))  # type: ignore[misc]
                                   for name in ("random", "best_expected", "best", "plain", "merged")}  # fmt: skip
        known = [choice.bias for choice in mine if np.isfinite(choice.bias)]
        off = np.array([choice.merged - choice.best for choice in mine])
        means |= {
            "choices": len(mine), "gain_over_random": means["merged"] - means["random"],
            "worst_against_best": float(off.min()), "share_1_db_below_best": float((off < -1).mean()),
            "expected_minus_true": float(np.median(known)) if known else float("nan"),
        }  # fmt: skip
        out[str(count)] = {name: round(value, 3) for name, value in means.items()}
    return out


def _mean(found: Sequence[Choice], value: Callable[[Choice], float]) -> float:
    return float(np.mean([value(choice) for choice in found]))


def print_table(title: str, summary: Mapping[str, Mapping[str, float]]) -> None:
    """Print the means of each number of photos."""
    columns = {"random": "random", "best_expected": "best exp.", "best": "best", "plain": "plain mean",
               "merged": "merged", "gain_over_random": "gain", "worst_against_best": "worst",
               "share_1_db_below_best": "share<-1dB", "expected_minus_true": "exp.-true"}  # fmt: skip
    print(f"\n{title}\n{'photos':<8}" + "".join(f"{head:>12}" for head in columns.values()))
    for count, row in summary.items():
        print(f"{count:<8}" + "".join(f"{row[name]:12.2f}" for name in columns))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=40)
    parser.add_argument("--photos", type=int, default=5)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--same-folds", action="store_true", help="all photos of a page show the same folds")
    parser.add_argument("--cache", type=Path, default=None, help="folder of the records; default: runs/merge/NETWORKS")
    parser.add_argument("--json", type=Path, default=None, help="default: runs/benchmarks/merge--MACHINE.json")
    args = parser.parse_args()
    networks = hashlib.sha256("".join(sorted(weights().values())).encode()).hexdigest()[:12]
    cache = args.cache or ROOT / "runs" / "merge" / networks
    whole: list[Choice] = []
    fine: list[Choice] = []
    rows = []
    for page in collect(args.pages, args.photos, args.seed, args.same_folds, cache):
        found = list(choices(page))
        whole += [of_whole for of_whole, _ in found]
        fine += [of_fine for _, of_fine in found]
        of_page = summarise(whole[-len(found) :]) if found else {}
        merged = {count: row["merged"] for count, row in of_page.items()}
        rows.append({"page": page.truth.source, "layout": page.truth.layout, "answered": len(page.records), **merged})
        print(rows[-1], flush=True)
    summary, fine_summary = summarise(whole), summarise(fine)
    print_table("Whole samples, dB", summary)
    print_table("Sub-sample shifts, dB", fine_summary)
    content = {"same_folds": args.same_folds, "pages": rows, "summary": summary, "summary_subsample": fine_summary}
    print("written:", write_results("merge", content, args.json))


if __name__ == "__main__":
    main()
