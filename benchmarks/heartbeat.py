"""Classes of heartbeats against annotations: `python benchmarks/heartbeat.py --mitdb ../shared/data/mitdb`.

Three tables, of things that must not be mixed up. Between patients: the shipped network learnt the records of DS1, and
is tested on those of DS2; an FP16 graph of it is compared with it. Over paper: pages show excerpts of DS2 and are
digitized, and each beat's class is compared with that of the excerpt itself. At random: a second network, of a run of
`train/experiments/heartbeat.toml`, is tested on beats of the patients that it learnt from.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import correlate, correlation_lags, resample_poly

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.common import write_results
from ecg_trt.analysis.heartbeat import CLASSES, HeartbeatClassifier
from ecg_trt.backends.base import Backend
from ecg_trt.backends.select import open_runtime
from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import EcgTrtError
from ecg_trt.layout import LEADS, Layout
from ecg_trt.record import EcgRecord
from ecg_trt.synth.sample import make_sample
from ecg_trt.types import Array
from train.data.mitdb import DS2, Recording, open_table, read_recordings

_LAYOUTS: tuple[str | Layout, ...] = ("3x4+1", Layout("1x1", (("II",),)), "6x2", "12x1")
_PAGE_FS, _PAGE_S = 500, 10.0
_MOST_LAG_S = 0.3
_SEED = 50_000_000
_N, _V = CLASSES.index("N"), CLASSES.index("V")


@dataclass(frozen=True, slots=True)
class Confusion:
    """Beats by the class that is true, or given first (rows), and the class found (columns)."""

    counts: Array

    @staticmethod
    def of(true: Array, found: Array) -> Confusion:
        """Count pairs of classes."""
        counts = np.zeros((len(CLASSES), len(CLASSES)), int)
        np.add.at(counts, (true, found), 1)
        return Confusion(counts)

    @property
    def accuracy(self) -> float:
        """Share of beats on the diagonal, percent."""
        return float(100 * np.trace(self.counts) / self.counts.sum())

    @property
    def f1(self) -> Array:
        """(classes,) F1, percent."""
        both = self.counts.sum(0) + self.counts.sum(1)
        return np.asarray(200 * np.diag(self.counts) / np.maximum(both, 1))

    @property
    def binary_accuracy(self) -> float:
        """Share of beats that are rightly called normal or not, percent."""
        right = self.counts[_N, _N] + np.delete(np.delete(self.counts, _N, 0), _N, 1).sum()
        return float(100 * right / self.counts.sum())

    def figures(self) -> dict[str, object]:
        """Every figure, for JSON."""
        return {"accuracy": round(self.accuracy, 2), "binary_accuracy": round(self.binary_accuracy, 2),
                "f1": dict(zip(CLASSES, self.f1.round(1).tolist(), strict=True)),
                "macro_f1": round(float(self.f1.mean()), 1), "confusion": self.counts.tolist()}  # fmt: skip

    def __str__(self) -> str:
        lines = ["      " + "".join(f"{name:>8}" for name in CLASSES)]
        lines += [
            f"{name:>6}" + "".join(f"{n:8d}" for n in row) for name, row in zip(CLASSES, self.counts, strict=True)
        ]
        f1 = ", ".join(f"{name} {value:.1f}" for name, value in zip(CLASSES, self.f1, strict=True))
        lines.append(f"accuracy {self.accuracy:.2f} %, normal or not {self.binary_accuracy:.2f} %, F1 {f1}")
        return "\n".join(lines)


def classify(backend: Backend, recordings: Sequence[Recording]) -> tuple[Array, Array]:
    """Classify every beat of the records' first lead; give the true classes and the probabilities."""
    classifier = HeartbeatClassifier(backend)
    found = [classifier(r.signal_mv[0], r.fs, r.peaks) for r in recordings]
    true, probabilities = np.concatenate([r.classes for r in recordings]), np.concatenate(found)
    is_shown = np.isfinite(probabilities[:, 0])
    return true[is_shown], probabilities[is_shown]


def at_fp16(recordings: Sequence[Recording]) -> Array:
    """Classify with the graph that FP16 plans are built of, on ONNX Runtime."""
    from build_engines.export import Precision, export
    from ecg_trt.backends.ort import OrtBackend
    from ecg_trt.networks import NETWORKS
    from ecg_trt.weights import weights_path

    graph = export(weights_path("heartbeat"), Precision.FP16, NETWORKS["heartbeat"].shapes)
    with OrtBackend(graph, 1) as backend:
        return classify(backend, recordings)[1]


def draw_page(recordings: Sequence[Recording], seed: int) -> tuple[Array, EcgRecord, Array, Array]:
    """Draw a page with ten seconds of a record as lead II; every second page shows a beat that is not normal.

    Returns:
        Picture, truth, the seconds of its R peaks, and their classes.
    """
    rng = np.random.default_rng(seed)
    recording = recordings[seed % len(recordings)]
    length = int(_PAGE_S * recording.fs)
    abnormal = np.flatnonzero(recording.classes != _N)
    around = abnormal if len(abnormal) and (seed // len(recordings)) % 2 else np.arange(len(recording.peaks))
    start = recording.peaks[rng.choice(around)] - int(rng.uniform(0.1, 0.9) * length)
    start = int(np.clip(start, 0, recording.signal_mv.shape[1] - length))
    here = (recording.peaks >= start) & (recording.peaks < start + length)
    signal = twelve_leads(recording.signal_mv[:, start : start + length], recording.fs)
    image, truth = make_sample(seed, signal_mv=signal, kind=None, layout=_LAYOUTS[seed % len(_LAYOUTS)],
                               paper_speed_mm_per_s=25.0, gain_mm_per_mv=10.0)  # fmt: skip
    return image, truth, (recording.peaks[here] - start) / recording.fs, recording.classes[here]


def twelve_leads(two: Array, fs: float) -> Array:
    """Make twelve leads (12, 5000) mV at 500 Hz of the two of a record: the first is II, all others are mixtures."""
    first, second = resample_poly(two, _PAGE_FS, round(fs), axis=1)[:, : int(_PAGE_S * _PAGE_FS)]
    i, ii = 0.6 * first, first
    limb = [i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2]
    chest = [second + share * (first - second) for share in np.linspace(0, 1, len(LEADS) - len(limb))]
    return np.asarray(np.stack([*limb, *chest]), np.float32)


def over_paper(
    classifier: HeartbeatClassifier, digitizer: Digitizer, recordings: Sequence[Recording], seeds: Sequence[int]
) -> Iterator[tuple[Array, Array, Array]]:
    """Give for each page that is read: true classes, and the classes of the beats before and after paper."""
    for seed in seeds:
        image, truth, seconds, classes = draw_page(recordings, seed)
        try:
            record = digitizer(image)
        except EcgTrtError as error:
            print(f"{seed}: {type(error).__name__}: {error.what}", flush=True)
            continue
        if "II" not in record:
            print(f"{seed}: {record.layout} for {truth.layout}, without II", flush=True)
            continue
        within = seconds * truth.fs < truth.signal_mv.shape[1]
        seconds, classes = seconds[within], classes[within]
        before = classifier(truth["II"], truth.fs, seconds * truth.fs)
        peaks = (seconds + lag_of(record["II"], record.fs, truth["II"], truth.fs)) * record.fs
        inside = (peaks >= 0) & (peaks < record.signal_mv.shape[1])
        after = np.full_like(before, np.nan)
        after[inside] = classifier(record["II"], record.fs, peaks[inside])
        both = np.isfinite(before[:, 0]) & np.isfinite(after[:, 0])
        if both.any():
            yield classes[both], before[both].argmax(1), after[both].argmax(1)


def lag_of(answer: Array, fs: float, truth: Array, fs_truth: float) -> float:
    """Find the seconds by which an answer comes later than the truth, by the greatest correlation."""
    at = np.arange(int(len(answer) / fs * fs_truth)) / fs_truth * fs
    one = np.nan_to_num(np.interp(at, np.arange(len(answer)), answer) - np.nanmedian(answer))
    other = np.nan_to_num(truth - np.nanmedian(truth))
    lags = correlation_lags(len(one), len(other))
    near = np.abs(lags) <= _MOST_LAG_S * fs_truth
    return float(lags[near][correlate(one, other)[near].argmax()] / fs_truth)


def at_random(checkpoint: Path, folder: Path) -> Confusion:
    """Test the network of a run on the held-out side of the split of beats at random."""
    import torch

    from train.export import load_network

    model, (head,) = load_network("heartbeat_table", checkpoint)
    table = open_table(folder, held_out=True)
    with torch.inference_mode():
        found = model(torch.from_numpy(table.beats[:, None]))[head].argmax(1).numpy()
    return Confusion.of(table.classes, found)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mitdb", type=Path, required=True, help="folder of the MIT-BIH Arrhythmia Database")
    parser.add_argument("--pages", type=int, default=0, help="pages that are drawn and digitized")
    parser.add_argument("--table", type=Path, help="checkpoint of heartbeat_table, for the split at random")
    parser.add_argument("--json", type=Path, default=None, help="default: runs/benchmarks/heartbeat--MACHINE.json")
    args = parser.parse_args()
    recordings, content = read_recordings(args.mitdb, DS2), {}
    with open_runtime("ort", networks=["heartbeat"], threads=1) as runtime:
        backend = runtime.backend("heartbeat")
        true, probabilities = classify(backend, recordings)
        confusion = Confusion.of(true, probabilities.argmax(1))
        equal = float(100 * np.mean(at_fp16(recordings).argmax(1) == probabilities.argmax(1)))
        print(f"between patients, {len(true)} beats of DS2\n{confusion}\nFP16: {equal:.3f} % of the classes are equal")
        content["between_patients"] = {**confusion.figures(), "fp16_equal": round(equal, 3)}
        if args.pages:
            content["over_paper"] = paper_figures(HeartbeatClassifier(backend), recordings, args.pages)
    if args.table:
        confusion = at_random(args.table, args.mitdb)
        print(f"at random, {confusion.counts.sum()} beats of known patients\n{confusion}")
        content["at_random"] = confusion.figures()
    print("written:", write_results("heartbeat", content, args.json))


def paper_figures(classifier: HeartbeatClassifier, recordings: Sequence[Recording], pages: int) -> dict[str, object]:
    """Draw, digitize and classify pages; print and give the figures."""
    with Digitizer() as digitizer:
        seeds = range(_SEED, _SEED + pages)
        read = list(over_paper(classifier, digitizer, recordings, seeds))
    true, before, after = (np.concatenate(part) for part in zip(*read, strict=True))
    binary = np.isin(before, (_N, _V)) & np.isin(after, (_N, _V))
    kept = Confusion.of(before, after)
    figures = {
        "pages": pages, "read": len(read), "beats": len(true), "kept": round(kept.accuracy, 2),
        "kept_n_or_v": round(float(100 * np.mean(before[binary] == after[binary])), 2),
        "right_before": round(float(100 * np.mean(before == true)), 2),
        "right_after": round(float(100 * np.mean(after == true)), 2), "confusion": kept.counts.tolist(),
    }  # fmt: skip
    print(f"over paper, {len(read)} of {pages} pages, {len(true)} beats: before (rows) and after\n{kept}\n{figures}")
    return figures


if __name__ == "__main__":
    main()
