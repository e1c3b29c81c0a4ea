"""Agreement of expected and true quality: `python benchmarks/quality.py --manifest ../shared/data/manifest.csv`.

Two questions. On synthetic pages: is a lead's expected SNR what such leads have (a reliability plot, in bins of the
expectation)? On real photos: does a page's expected SNR, its leads summed as the metric does, put them in the order of
their measured one (Spearman's rank correlation)? Writes JSON and a plot.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.accuracy import Case, from_manifest, synthetic
from benchmarks.common import NEW_RESULTS, write_results
from ecg_trt.config import RuntimeOptions
from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import EcgTrtError
from ecg_trt.layout import LEADS
from ecg_trt.metrics import score_record
from ecg_trt.quality.model import page_snr_db
from ecg_trt.record import in_order
from ecg_trt.types import Array

SEED = 40_000_000  # no page of these was trained on or calibrated with
_RANGE_DB = (-5.0, 30.0)
_BIN_DB = 3.0
_LEAST_LEADS = 20  # of a bin that says anything


@dataclass(frozen=True, slots=True)
class ReadQuality:
    """Expected and true SNR of one answered page, dB.

    Attributes:
        name: of the picture.
        kind: of the picture.
        leads_expected: (12,) NaN where not printed.
        leads_true: (12,).
        expected: of the page.
        true: of the page.
    """

    name: str
    kind: str
    leads_expected: Array
    leads_true: Array
    expected: float
    true: float


def tell(digitizer: Digitizer, case: Case) -> ReadQuality | None:
    """Digitize one picture; None if it is not answered."""
    try:
        record = digitizer(case.source)
    except EcgTrtError:
        return None
    assert case.truth is not None
    signal, snr_db = (in_order(a, record.lead_names, LEADS) for a in (record.signal_mv, record.snr_db[:, None]))
    score = score_record(case.truth, case.fs, signal, record.fs)
    expected = page_snr_db(snr_db[:, 0], signal)
    return ReadQuality(case.name, case.kind, snr_db[:, 0], score.lead_snr_db, expected, score.snr_db)


def reliability(expected: Array, true: Array, width_db: float = _BIN_DB) -> list[dict[str, float]]:
    """Mean of the expectation and of the truth in bins of the expectation; bins of few leads join the next below."""
    edges = np.floor(expected / width_db)
    groups = [np.flatnonzero(edges == edge) for edge in np.unique(edges)]
    merged: list[Array] = []
    for group in groups[::-1]:
        if merged and (len(merged[-1]) < _LEAST_LEADS or len(group) < _LEAST_LEADS):
            merged[-1] = np.concatenate([group, merged[-1]])
        else:
            merged.append(group)
    return [{"leads": len(g), "expected_db": round(float(expected[g].mean()), 2),
             "true_db": round(float(true[g].mean()), 2)} for g in merged[::-1]]  # fmt: skip


def of_leads(readings: Sequence[ReadQuality]) -> dict[str, object]:
    """The reliability plot's numbers, over all leads of some pages."""
    expected = np.concatenate([t.leads_expected for t in readings])
    true = np.concatenate([t.leads_true for t in readings])
    both = np.isfinite(expected) & ~np.isnan(true)
    expected, true = expected[both], true[both].clip(*_RANGE_DB)
    bins = reliability(expected, true)
    return {"pages": len(readings), "leads": int(both.sum()),
            "rank_correlation": round(float(spearmanr(expected, true).statistic), 3),
            "mean_absolute_error_db": round(float(np.abs(expected - true).mean()), 2),
            "worst_bin_db": max(round(abs(b["true_db"] - b["expected_db"]), 2) for b in bins),
            "bins": bins}  # fmt: skip


def of_pages(readings: Sequence[ReadQuality]) -> dict[str, object]:
    """Rank pages by their expected and by their true SNR."""
    expected, true = (np.array([getattr(t, name) for t in readings]) for name in ("expected", "true"))
    order = round(float(spearmanr(expected, true).statistic), 3) if len(readings) > 2 else None
    return {"pages": len(readings), "rank_correlation": order,
            "mean_of_expected_less_true_db": round(float((expected - true).mean()), 2),
            "images": [{"name": t.name, "expected_db": round(t.expected, 2), "true_db": round(t.true, 2)}
                       for t in readings]}  # fmt: skip


def plot(bins: Sequence[dict[str, float]], pages: Sequence[ReadQuality], path: Path) -> None:
    """The reliability plot on the left, the photos on the right."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    ends = np.array([-2.0, 28.0])
    for axis in axes:
        axis.plot(ends, ends, color="0.6", linewidth=1)
        axis.fill_between(ends, ends - 2, ends + 2, color="0.92")
        axis.set(xlabel="expected SNR, dB", ylabel="measured SNR, dB", xlim=ends, ylim=ends)
    axes[0].scatter([b["expected_db"] for b in bins], [b["true_db"] for b in bins],
                    s=[4 + 0.3 * b["leads"] for b in bins], color="tab:blue")  # fmt: skip
    axes[0].set_title(f"Leads of synthetic pages, in bins of {_BIN_DB:g} dB")
    axes[1].scatter([t.expected for t in pages], [t.true for t in pages], s=24, color="tab:red")
    axes[1].set_title("Real photos")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--kinds", default="photo")
    parser.add_argument("--synthetic", type=int, default=200)
    parser.add_argument("--pages", type=Path, default=None, help="folder that keeps these pages, as JPEGs")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--threads", type=int, default=0, help="of the networks, 0 for all cores")
    parser.add_argument("--json", type=Path, default=None, help="default: runs/benchmarks/quality--MACHINE.json")
    parser.add_argument("--plot", type=Path, default=NEW_RESULTS / "quality.png", help="default: beside the JSON")
    args = parser.parse_args()
    cases = [synthetic(args.synthetic, args.seed, args.pages)]
    if args.manifest:
        cases.append(from_manifest(args.manifest, tuple(args.kinds.split(","))))
    readings: list[ReadQuality] = []
    with Digitizer(RuntimeOptions(threads=args.threads)) as digitizer:
        for source in cases:
            for case in source:
                one = tell(digitizer, case)
                if one is not None:
                    readings.append(one)
                    print(f"{one.name:<44} expected {one.expected:5.1f}  true {one.true:5.1f} dB", flush=True)
    drawn, real = ([t for t in readings if (t.kind == "synthetic") == is_drawn] for is_drawn in (True, False))
    content: dict[str, object] = {"synthetic": of_leads(drawn)}
    for kind in dict.fromkeys(t.kind for t in real):
        content[kind] = of_pages([t for t in real if t.kind == kind])
    for name, row in content.items():
        print(name, {key: value for key, value in row.items() if key != "images"})  # type: ignore[attr-defined]
    plot(content["synthetic"]["bins"], real, args.plot)  # type: ignore[index]
    print("written:", write_results("quality", content, args.json), args.plot)


if __name__ == "__main__":
    main()
