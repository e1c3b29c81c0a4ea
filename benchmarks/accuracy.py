"""Distance of the answers from the truth: `python benchmarks/accuracy.py --manifest ../shared/data/manifest.csv`.

The score is the PhysioNet 2025 digitization metric (`ecg_trt.metrics`), which aligns each lead with its truth; beside
it stands the same without alignment, for those who measure times across leads. Prints a table for each kind of picture,
writes JSON, and draws a contact sheet of overlays, because a number alone hides a shifted trace.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import write_results
from ecg_trt.config import VIEWS, ReadOptions, RuntimeOptions
from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import EcgTrtError, NoEcgFoundError
from ecg_trt.io.atomic import atomic_path
from ecg_trt.io.readers.photo import pages_of
from ecg_trt.io.writers.overlay import draw_overlay
from ecg_trt.layout import LEADS
from ecg_trt.metrics import Score, score_record, summarise
from ecg_trt.processes import ProcessPool
from ecg_trt.reading import Reading
from ecg_trt.record import in_order
from ecg_trt.types import Array

_TILE_W, _TILE_H = 900, 640
_JPEG_QUALITY = 92
_WELL_READ_DB = 12.0  # Names, speed, gain and places in time are right where the SNR is higher.


@dataclass
class Case:
    """One picture, its truth (leads, n) in mV where there is one, and the groups that it counts in."""

    name: str
    kind: str
    source: str | Array
    truth: Array | None
    fs: float
    groups: tuple[str, ...] = ()
    leads: tuple[str, ...] = LEADS


@dataclass
class Outcome:
    """Result of one picture; `in_place` is the score without alignment."""

    case: Case
    score: Score | None
    in_place: Score | None
    layout: str
    quality: float
    error: str
    einthoven: float
    view: Array | None


def read_truth(path: Path) -> tuple[tuple[str, ...], Array]:
    """Names of the leads, and (leads, n) float64 mV, NaN where blank."""
    table = np.genfromtxt(path, delimiter=",", names=True)
    leads = tuple(name for name in table.dtype.names or () if name != "time_s")
    return leads, np.stack([table[lead] for lead in leads])


def from_manifest(path: Path, kinds: tuple[str, ...]) -> Iterator[Case]:
    """Read the pictures of a manifest."""
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["kind"] in kinds:
                leads, truth = read_truth(path.parent / row["truth"]) if row["truth"] else (LEADS, None)
                image, fs = str(path.parent / row["image"]), float(row["fs"] or 500)
                yield Case(row["image"], row["kind"], image, truth, fs, leads=leads)


def synthetic(count: int, seed: int, folder: Path | None = None) -> Iterator[Case]:
    """Draw pages of every kind that no training run has seen (their seeds lie beyond those of training).

    Args:
        count: of the pages.
        seed: of the first.
        folder: pages are kept there as JPEGs, with their truths, and taken from there the next time; they are not
            stored, nor compressed, if None.
    """
    from ecg_trt.synth.sample import make_sample

    for k in range(count):
        stem = None if folder is None else folder / f"{seed}_{k}"
        if stem is not None and stem.with_suffix(".npz").exists():
            yield _kept(stem, k)
            continue
        kind, severity, damage = _damage(np.random.default_rng((seed, k)))
        image, truth = make_sample(seed + k, kind=kind, severity=severity)
        groups = (truth.layout, f"{truth.paper_speed_mm_per_s:g} mm/s", f"{truth.gain_mm_per_mv:g} mm/mV", damage)
        if stem is None:
            yield Case(_name(groups, k), "synthetic", image, truth.signal_mv, truth.fs, groups, truth.lead_names)
        else:
            stem.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(stem.with_suffix(".jpg")), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
            with atomic_path(stem.with_suffix(".npz")) as part, part.open("wb") as file:
                np.savez(file, signal_mv=truth.signal_mv, fs=truth.fs, groups=groups, leads=truth.lead_names)
            yield _kept(stem, k)


def _kept(stem: Path, k: int) -> Case:
    """Take a page that was drawn before from its folder."""
    with np.load(stem.with_suffix(".npz")) as truth:
        groups, leads = tuple(truth["groups"].tolist()), tuple(truth["leads"].tolist())
        picture = str(stem.with_suffix(".jpg"))
        return Case(_name(groups, k), "synthetic", picture, truth["signal_mv"], float(truth["fs"]), groups, leads)


def _name(groups: Sequence[str], k: int) -> str:
    return f"{' '.join(groups)} #{k}"


def _damage(rng: np.random.Generator) -> tuple[str, float, str]:
    """Kind of picture, severity of its folds and crumples, and both in words; shares as training draws them."""
    kind = str(rng.choice(["photo", "scan", "render"], p=[0.76, 0.18, 0.06]))
    if kind != "photo":
        return kind, 0.25 * rng.random() * (rng.random() < 0.4), kind
    severity = rng.beta(1.2, 1.8) * (rng.random() < 0.9)
    return kind, float(severity), f"photo, {'flat' if severity < 0.2 else 'folded' if severity < 0.5 else 'crumpled'}"


def read_first(digitizer: Digitizer, source: str | Array) -> Reading:
    """Read a picture, or the first page with an ECG of a file with several."""
    *others, last = pages_of(source)
    for page in others:
        with suppress(NoEcgFoundError):
            return digitizer.read(page)
    return digitizer.read(last)


def judge(digitizer: Digitizer, case: Case, keep_view: bool) -> Outcome:
    """Digitize and scores one picture."""
    try:
        reading = read_first(digitizer, case.source)
    except EcgTrtError as error:
        what = error.what.replace(str(case.source), case.name)  # A folder of this machine is no result.
        return Outcome(case, None, None, "", float("nan"), f"{type(error).__name__}: {what}", float("nan"), None)
    record = reading.record
    score = in_place = None
    if case.truth is not None:
        answer = in_order(record.signal_mv, record.lead_names, case.leads)
        score = score_record(case.truth, case.fs, answer, record.fs)
        in_place = score_record(case.truth, case.fs, answer, record.fs, max_lag_s=0.0)
    view = None
    if keep_view:
        view = cv2.resize(draw_overlay(reading.page, reading.strips, reading.trace, record), (_TILE_W, _TILE_H),
                          interpolation=cv2.INTER_AREA)  # fmt: skip
        text = f"{Path(case.name).name} {'' if score is None else f'{score.snr_db:.1f} dB'}"
        cv2.putText(view, text, (8, _TILE_H - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (200, 0, 0), 2, cv2.LINE_AA)
    return Outcome(case, score, in_place, record.layout, float(np.nanmean(record.quality)), "",
                   reading.limb_residual, view)  # fmt: skip


def judge_all(
    cases: Iterable[Case], jobs: int, runtime: RuntimeOptions, options: ReadOptions, *, keep_view: bool
) -> Iterator[Outcome]:
    """Judge pictures in their order, in so many processes; an outcome holds no pixels but those of its view."""
    waiting: deque[Future[Outcome]] = deque()
    with ProcessPool(partial(_open, runtime, options, keep_view), jobs, waiting=jobs) as pool:
        for case in cases:
            waiting.append(pool.submit(case))
            while waiting and waiting[0].done():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _open(runtime: RuntimeOptions, options: ReadOptions, keep_view: bool) -> Callable[[Case], Outcome]:
    return partial(_judge, Digitizer(runtime, options=options), keep_view)


def _judge(digitizer: Digitizer, keep_view: bool, case: Case) -> Outcome:
    return replace(judge(digitizer, case, keep_view), case=replace(case, source=""))


def contact_sheet(views: list[Array], path: Path, columns: int = 3) -> None:
    """Write the overlays side by side."""
    blank = np.zeros((_TILE_H, _TILE_W, 3), np.uint8)
    views = views + [blank] * (-len(views) % columns)
    rows = [np.hstack(views[i : i + columns]) for i in range(0, len(views), columns)]
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def table(outcomes: list[Outcome]) -> dict[str, dict[str, object]]:
    """Summary of each kind of picture, printed on the way."""
    out: dict[str, dict[str, object]] = {}
    print(f"{'kind':<14}{'n':>4}{'answered':>9}{'mean dB':>9}{'median':>8}{'p10':>7}{'comp. dB':>9}"
          f"{'in place':>9}{'lag ms':>7}{'r':>7}{'RMSE mV':>9}{'Einthoven':>10}")  # fmt: skip
    for kind in dict.fromkeys(o.case.kind for o in outcomes):
        mine = [o for o in outcomes if o.case.kind == kind]
        answered = [o for o in mine if not o.error]
        row: dict[str, object] = {"images": len(mine), "answered": len(answered)}
        laws = [o.einthoven for o in answered if np.isfinite(o.einthoven)]
        row["einthoven_median"] = round(float(np.median(laws)), 3) if laws else None
        if mine[0].case.truth is not None:
            s = summarise([o.score for o in mine])
            scores = [o.score for o in mine if o.score]
            pearson = _by_lead(mine, lambda score: score.pearson)
            rmse = _by_lead(mine, lambda score: score.rmse_mv)
            in_place = summarise([o.in_place for o in mine]).mean_db
            lag_ms = 1000 * float(np.nanmedian(np.abs(np.concatenate([x.lag_s for x in scores]))))
            row |= {"in_place_mean_db": round(in_place, 2), "median_lag_ms": round(lag_ms, 2)}
            row |= {
                "mean_db": round(s.mean_db, 2),
                "median_db": round(s.median_db, 2),
                "p10_db": round(s.p10_db, 2),
                "competition_db": round(s.competition_db, 2),
                "above_12_db": sum(x.snr_db >= _WELL_READ_DB for x in scores),
                "pearson": pearson,
                "rmse_mv": rmse,
            }
            figures = (f"{s.mean_db:9.2f}{s.median_db:8.2f}{s.p10_db:7.2f}{s.competition_db:9.2f}"
                       f"{in_place:9.2f}{lag_ms:7.1f}"
                       f"{np.nanmedian([*pearson.values()]):7.3f}{np.nanmedian([*rmse.values()]):9.3f}")  # fmt: skip
        else:
            figures = f"{'':9}{'':8}{'':7}{'':9}{'':9}{'':7}{'':7}{'':9}"
        law = row["einthoven_median"]
        print(f"{kind:<14}{len(mine):4d}{len(answered):9d}{figures}{'' if law is None else f'{law:10.3f}'}")
        out[kind] = row
    return out


def _by_lead(outcomes: list[Outcome], of: Callable[[Score], Array]) -> dict[str, float]:
    """Median over the pictures of a figure of each lead."""
    values: dict[str, list[float]] = {}
    for outcome in outcomes:
        if outcome.score:
            for lead, value in zip(outcome.case.leads, of(outcome.score), strict=True):
                values.setdefault(lead, []).append(float(value))
    return {lead: round(float(np.nanmedian(found)), 4) for lead, found in values.items()}


def by_group(outcomes: list[Outcome]) -> dict[str, dict[str, object]]:
    """Pictures, answers, and mean and median SNR of each group, printed on the way."""
    out: dict[str, dict[str, object]] = {}
    for group in sorted({g for o in outcomes for g in o.case.groups}):
        mine = [o for o in outcomes if group in o.case.groups]
        s = summarise([o.score for o in mine])
        out[group] = {"images": s.images, "answered": s.answered, "mean_db": round(s.mean_db, 2),
                      "median_db": round(s.median_db, 2)}  # fmt: skip
        print(f"{group:<24}{s.images:4d}{s.answered:9d}{s.mean_db:9.2f}{s.median_db:8.2f}")
    return out


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--kinds", default="photo,scan,render")
    parser.add_argument("--synthetic", type=int, default=0, help="how many synthetic pages")
    parser.add_argument("--pages", type=Path, default=None, help="folder that keeps these pages, as JPEGs")
    parser.add_argument("--seed", type=int, default=10_000_000)
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: one, of all cores; else of one each)")
    parser.add_argument("--views", type=int, default=VIEWS[0], choices=VIEWS)
    parser.add_argument("--no-limb-blend", action="store_true", help="leave limb leads as printed")
    parser.add_argument("--json", type=Path, default=None, help="default: runs/benchmarks/accuracy--MACHINE.json")
    parser.add_argument("--sheet", type=Path, default=None, help="contact sheet of overlays, .png or .jpg")
    args = parser.parse_args()
    cases: list[Iterator[Case]] = []
    if args.manifest:
        cases.append(from_manifest(args.manifest, tuple(args.kinds.split(","))))
    if args.synthetic:
        cases.append(synthetic(args.synthetic, args.seed, args.pages))
    outcomes = []
    options = ReadOptions(limb_blend=not args.no_limb_blend)
    runtime = RuntimeOptions(views=args.views, threads=0 if args.jobs == 1 else 1)
    for o in judge_all(chain(*cases), args.jobs, runtime, options, keep_view=args.sheet is not None):
        outcomes.append(o)
        snr = f"{o.score.snr_db:6.2f} dB" if o.score else " " * 9
        reading = f"{o.layout:<14} quality {o.quality:.2f} {o.error}"
        print(f"{o.case.kind:<14}{o.case.name:<44}{snr}  {reading}", flush=True)
    if not outcomes:
        parser.error("nothing to measure: give --manifest, --synthetic or both")
    summary, groups = table(outcomes), by_group(outcomes)
    images = [{"name": o.case.name, "kind": o.case.kind, "snr_db": round(o.score.snr_db, 2) if o.score else None,
               "in_place_db": round(o.in_place.snr_db, 2) if o.in_place else None,
               "layout": o.layout, "quality": None if np.isnan(o.quality) else round(o.quality, 3),
               "error": o.error} for o in outcomes]  # fmt: skip
    results = {"views": args.views, "limb_blend": options.limb_blend, "summary": summary, "groups": groups,
               "images": images}  # fmt: skip
    print("written:", write_results("accuracy", results, args.json))
    if args.sheet:
        contact_sheet([o.view for o in outcomes if o.view is not None], args.sheet)


if __name__ == "__main__":
    main()
