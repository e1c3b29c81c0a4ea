"""Beats against the annotations of MIT-BIH: `python benchmarks/beats.py --data ../shared/data/mitdb`.

Compares `ecg_trt.analysis.beats` on both leads with wfdb's gqrs and xqrs on each. A beat is found if it lies within the
150 ms of AAMI EC57; ventricular flutter is left out, as there. `pages` are stretches of 10 s, each detected alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import write_results
from ecg_trt.analysis.beats import detect_beats
from ecg_trt.types import Array

_TOLERANCE_S, _PAGE_S = 0.15, 10.0
_BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")  # Annotations of beats.


def own(signal_mv: Array, fs: float) -> Array:
    """Beats on all leads together."""
    return detect_beats(signal_mv, fs).sample


def own_pages(signal_mv: Array, fs: float) -> Array:
    """Beats of stretches of 10 s, each alone."""
    step = round(_PAGE_S * fs)
    return np.concatenate([own(signal_mv[:, k : k + step], fs) + k for k in range(0, signal_mv.shape[1], step)])


def gqrs(signal_mv: Array, fs: float) -> Array:
    """Beats of wfdb's gqrs on the first row."""
    from wfdb.processing import gqrs_detect

    return np.asarray(gqrs_detect(signal_mv[0], fs=fs), int)


def xqrs(signal_mv: Array, fs: float) -> Array:
    """Beats of wfdb's xqrs on the first row."""
    from wfdb.processing import xqrs_detect

    return np.asarray(xqrs_detect(signal_mv[0], fs=fs, verbose=False), int)


DETECTORS: dict[str, tuple[Callable[[Array, float], Array], slice]] = {
    "both leads": (own, slice(None)), "both leads, pages": (own_pages, slice(None)), "first lead": (own, slice(0, 1)),
    "gqrs, first lead": (gqrs, slice(0, 1)), "gqrs, second lead": (gqrs, slice(1, 2)),
    "xqrs, first lead": (xqrs, slice(0, 1)), "xqrs, second lead": (xqrs, slice(1, 2)),
}  # fmt: skip


def matched(true: Array, found: Array, tolerance: float) -> int:
    """Count pairs of true and found beats, ascending samples, that are near enough; each beat counts once."""
    i = j = pairs = 0
    while i < len(true) and j < len(found):
        away = found[j] - true[i]
        if abs(away) <= tolerance:
            is_last = j + 1 == len(found) or abs(found[j + 1] - true[i]) >= abs(away)
            i, pairs = i + is_last, pairs + is_last
            j += 1
        else:
            i, j = (i, j + 1) if away < 0 else (i + 1, j)
    return pairs


def counts(path: Path, first_s: float, last_s: float) -> Mapping[str, Array]:
    """Count true beats, found beats and pairs (3,) in a stretch of a record, by detector."""
    import wfdb

    header = wfdb.rdheader(str(path))
    fs = float(header.fs)
    a, b = round(first_s * fs), min(round(last_s * fs), header.sig_len)
    signal = wfdb.rdrecord(str(path), sampfrom=a, sampto=b).p_signal.T
    notes = wfdb.rdann(str(path), "atr", sampfrom=a, sampto=b, shift_samps=True)
    true = np.array([k for k, symbol in zip(notes.sample, notes.symbol, strict=True) if symbol in _BEATS])
    flutter = _flutter(notes.sample, notes.symbol, b - a)
    edge, results = round(_TOLERANCE_S * fs), {}

    def counted(samples: Array) -> Array:
        inside = (samples > edge) & (samples < b - a - edge)
        for start, stop in flutter:
            inside &= (samples < start - edge) | (samples > stop + edge)
        return samples[inside]

    for name, (detect, leads) in DETECTORS.items():
        found = counted(detect(signal[leads], fs))
        kept = counted(true)
        results[name] = np.array([len(kept), len(found), matched(kept, found, edge)])
    return results


def _flutter(samples: Array, symbols: list[str], n: int) -> list[tuple[int, int]]:
    """Find stretches of ventricular flutter, samples."""
    stretches: list[tuple[int, int]] = []
    for k, symbol in zip(samples.tolist(), symbols, strict=True):
        if symbol == "[":
            stretches.append((k, n))
        elif symbol == "]":
            stretches[-1:] = [(stretches[-1][0] if stretches else 0, k)]
    return stretches


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the records")
    parser.add_argument("--minutes", type=float, nargs=2, default=(10.0, 15.0), metavar=("FROM", "TO"))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    records = [counts(path.with_suffix(""), *(60 * m for m in arguments.minutes))
               for path in sorted(arguments.data.glob("*.hea"))]  # fmt: skip
    figures = {}
    for name in DETECTORS:
        true, found, pairs = np.sum([record[name] for record in records], axis=0).tolist()
        figures[name] = {"beats": true, "missed": true - pairs, "false": found - pairs,
                         "sensitivity": pairs / true, "ppv": pairs / found}  # fmt: skip
        print(f"{name:20} sensitivity {100 * pairs / true:.2f} %, PPV {100 * pairs / found:.2f} %, "
              f"missed {true - pairs}, false {found - pairs} of {true}", flush=True)  # fmt: skip
    content = {"records": len(records), "minutes": list(arguments.minutes), "figures": figures}
    print(write_results("beats", content, arguments.out))


if __name__ == "__main__":
    main()
