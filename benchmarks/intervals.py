"""Intervals against ECGs of known waves: `python benchmarks/intervals.py --records 200`.

Draws ECGs (`ecg_trt.synth.known_waves`), measures them as twelve leads of 10 s, as the printed parts of a 3x4+1 and of
a 3x4 page, and from a photo of a 3x4+1 page (`--photos`). Shows mean and standard deviation of the errors, and how many
figures were given. With `--fit` it draws the ECGs on which the settings of `analysis.fiducials` were chosen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import write_results
from ecg_trt.analysis import analyze
from ecg_trt.analysis.fiducials import Wave
from ecg_trt.errors import PageError
from ecg_trt.layout import LAYOUTS, LEADS, STANDARD_GAIN_MM_PER_MV, STANDARD_SPEED_MM_PER_S
from ecg_trt.record import EcgRecord
from ecg_trt.synth.known_waves import KnownEcg, draw_known_ecg
from ecg_trt.synth.sample import make_sample

SEED, FIT_SEED = 60_000_000, 0
TOLERANCES = {"p_on": 10.2, "p_end": 12.7, "qrs_on": 6.5, "qrs_end": 11.6, "t_end": 30.6}
"""Standard deviations that the CSE working party allows, ms."""
_R_S = 0.04  # Of the R peak from the start of its beat, about.


def printed(ecg: KnownEcg, layout: str) -> EcgRecord:
    """Keep what a page of a layout of four columns prints; all of it for "12x1"."""
    signal = np.full_like(ecg.signal_mv, np.nan)
    n = signal.shape[1] // 4
    for row in range(12):
        column = slice(row // 3 * n, (row // 3 + 1) * n) if layout != "12x1" else slice(None)
        signal[row, column] = ecg.signal_mv[row, column]
    if layout == "3x4+1":
        signal[1] = ecg.signal_mv[1]
    return EcgRecord(signal, ecg.fs, LEADS, layout, STANDARD_SPEED_MM_PER_S, STANDARD_GAIN_MM_PER_MV,
                     np.ones(12, np.float32), np.full(12, np.inf, np.float32))  # fmt: skip


def errors(record: EcgRecord, ecg: KnownEcg) -> dict[str, float]:
    """Errors of one record: fiducials and intervals in ms, the axis in degrees, the rate in bpm; NaN if left out."""
    analysis = analyze(record, ("beats", "intervals"))
    intervals = analysis.intervals
    assert intervals is not None
    r_s = analysis.beats.r_s
    nearest = ecg.start_s[np.abs(ecg.start_s - (r_s[:, None] - _R_S)).argmin(1)]
    from_r = float(np.median(r_s - nearest))
    spans = {wave: (span.onset_s + from_r, span.end_s + from_r) for wave, span in intervals.spans.items()}
    nothing = (np.nan, np.nan)
    p, qrs, t = (spans.get(wave, nothing) for wave in Wave)
    found = {m.name: m.value for m in analysis.measurements}
    true = {
        "p_duration": 1e3 * (ecg.p_s[1] - ecg.p_s[0]), "pr": 1e3 * (ecg.qrs_s[0] - ecg.p_s[0]),
        "qrs_duration": 1e3 * (ecg.qrs_s[1] - ecg.qrs_s[0]), "qt": 1e3 * (ecg.t_s[1] - ecg.qrs_s[0]),
        "qrs_axis": ecg.axis_deg, "heart_rate": 60 / float(np.diff(ecg.start_s).mean()),
    }  # fmt: skip
    away = {name: found.get(name, np.nan) - value for name, value in true.items()}
    away["qrs_axis"] = (away["qrs_axis"] + 180) % 360 - 180
    return {
        "p_on": 1e3 * (p[0] - ecg.p_s[0]), "p_end": 1e3 * (p[1] - ecg.p_s[1]),
        "qrs_on": 1e3 * (qrs[0] - ecg.qrs_s[0]), "qrs_end": 1e3 * (qrs[1] - ecg.qrs_s[1]),
        "t_end": 1e3 * (t[1] - ecg.t_s[1]), **away,
    }  # fmt: skip


def photographed(count: int, seed: int) -> Iterator[dict[str, float]]:
    """Errors of records that were digitized from photos; the times of fiducials, which the page may shift, left out."""
    from ecg_trt.digitizer import Digitizer

    with Digitizer() as digitizer:
        for k in range(count):
            ecg = draw_known_ecg(np.random.default_rng(seed + k))
            image, _ = make_sample(seed + k, signal_mv=ecg.signal_mv, layout=LAYOUTS["3x4+1"])
            try:
                record = replace(digitizer(image), source="")
            except PageError:
                continue
            yield {name: error for name, error in errors(record, ecg).items() if name not in TOLERANCES}


def summary(name: str, found: list[dict[str, float]]) -> Mapping[str, Mapping[str, float]]:
    """Summarise errors, and print them."""
    figures = {}
    for key in found[0]:
        values = np.array([row[key] for row in found])
        known = values[np.isfinite(values)]
        figures[key] = {"given": len(known) / len(values), "mean": float(known.mean()), "sd": float(known.std()),
                        "within_95": float(np.percentile(np.abs(known), 95))}  # fmt: skip
        allowed = f", CSE {TOLERANCES[key]}" if key in TOLERANCES else ""
        print(f"{name:8} {key:13} given {100 * len(known) / len(values):3.0f} %, mean {known.mean():6.1f}, "
              f"sd {known.std():5.1f}, 95 % within {figures[key]['within_95']:5.1f}{allowed}", flush=True)  # fmt: skip
    return figures


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--photos", type=int, default=0, help="also digitize so many photos, 3 s each")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    seed = FIT_SEED if arguments.fit else SEED
    ecgs = [draw_known_ecg(np.random.default_rng(seed + k)) for k in range(arguments.records)]
    figures = {
        layout: summary(layout, [errors(printed(ecg, layout), ecg) for ecg in ecgs])
        for layout in ("12x1", "3x4+1", "3x4")
    }
    if arguments.photos:
        figures["photo"] = summary("photo", list(photographed(arguments.photos, seed)))
    content = {"records": arguments.records, "photos": arguments.photos, "seed": seed, "figures": figures}
    print(write_results("intervals", content, arguments.out))


if __name__ == "__main__":
    main()
