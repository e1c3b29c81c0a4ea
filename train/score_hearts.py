"""Errors of the networks of the heart on hearts that none of them learnt from: `python -m train.score_hearts`.

Each condition changes one thing: noise, leads that are missing, amplitudes, misplaced electrodes. The guess that needs
no ECG is the mean over the beats of other hearts.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecg_trt.analysis.electrophysiology import ACTIVATION_MS, POTENTIAL_RANGE_MV, REST_MV
from ecg_trt.backends.ort import OrtBackend
from ecg_trt.layout import LEADS
from ecg_trt.types import Array
from ecg_trt.weights import FOLDER
from train.config import Data
from train.data.heart.electrodes import twelve_leads
from train.data.heart.samples import SimulatedBeats, open_beats
from train.data.heart.simulator import Beat

log = logging.getLogger("train.score_hearts")
REFERENCE_STD_MV = (0.522, 0.469, 0.374, 0.460, 0.389, 0.334, 0.371, 0.295, 0.259, 0.229, 0.190, 0.219)
"""Standard deviation of each lead, I to V6, in the public data set (doi 10.6075/J0SN094N)."""
_NOISE_MV, _LOST = 0.02, (3, 7, 10)  # aVR, V2 and V5

Change = Callable[[Array, np.random.Generator], Array]


def _noisy(leads: Array, rng: np.random.Generator) -> Array:
    return leads + rng.normal(0, _NOISE_MV, leads.shape)


def _without(leads: Array, rng: np.random.Generator) -> Array:
    return np.where(np.isin(np.arange(len(LEADS)), _LOST)[:, None], 0.0, leads)


CHANGES: dict[str, Change] = {
    "as simulated": lambda leads, rng: leads,
    f"noise of {_NOISE_MV} mV": _noisy,
    "without aVR, V2 and V5": _without,
    "amplitudes of 0.7": lambda leads, rng: 0.7 * leads,
}


def draw(data: Data, hearts: int, beats: int, *, misplaced: float, held_out: bool = True) -> list[Beat]:
    """Draw beats of several hearts, the same ones whenever it is called."""
    source = open_beats(data, held_out)
    if isinstance(source, SimulatedBeats):
        source = replace(source, misplaced=misplaced)
    return [beat for k in range(hearts) for beat in source.beats(np.random.default_rng((k, 23)), beats)]


def errors(networks: dict[str, OrtBackend], beats: list[Beat], change: Change) -> dict[str, float]:
    """Mean absolute error of activation in ms, and root mean square error of potentials in mV."""
    rng = np.random.default_rng(5)
    late, wrong = [], []
    for beat in beats:
        feed = {"leads": change(twelve_leads(beat.electrodes), rng).astype(np.float32)[None]}
        if "activation" in networks:
            times = ACTIVATION_MS * networks["activation"].infer(feed)["activation"][0]
            late.append(np.abs(times - beat.activation).mean())
        if "potentials" in networks:
            cells = REST_MV + POTENTIAL_RANGE_MV * networks["potentials"].infer(feed)["potentials"][0]
            wrong.append(np.square(cells - beat.potentials).mean())
    found: dict[str, float] = {}
    if late:
        found |= {"mean_ms": float(np.mean(late)), "p90_ms": float(np.quantile(late, 0.9))}
    return found | ({"rms_mv": float(np.sqrt(np.mean(wrong)))} if wrong else {})


def guess(known: list[Beat], beats: list[Beat]) -> dict[str, float]:
    """Errors of the mean over other hearts."""
    times, cells = (np.mean([getattr(b, name) for b in known], axis=0) for name in ("activation", "potentials"))
    late = [np.abs(times - beat.activation).mean() for beat in beats]
    wrong = [np.square(cells - beat.potentials).mean() for beat in beats]
    return {"mean_ms": float(np.mean(late)), "p90_ms": float(np.quantile(late, 0.9)),
            "rms_mv": float(np.sqrt(np.mean(wrong)))}  # fmt: skip


def main() -> None:
    """Print the errors under each condition, and the statistics of the beats."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=FOLDER, help="folder of the ONNX files")
    parser.add_argument("--signals", default="", help="folder of hearts, or of the public data set")
    parser.add_argument("--hearts", type=int, default=40, help="draws of a held-out heart in a chest [default: 40]")
    parser.add_argument("--beats", type=int, default=20, help="beats of each [default: 20]")
    args = parser.parse_args()
    data = Data(signals=args.signals)
    paths = {name: args.weights / f"{name}.onnx" for name in ("activation", "potentials")}
    networks = {name: OrtBackend(path, 1) for name, path in paths.items() if path.exists()}
    begun = time.perf_counter()
    beats = draw(data, args.hearts, args.beats, misplaced=0.0)
    log.info("%d beats, %.0f an hour", len(beats), 3600 * len(beats) / (time.perf_counter() - begun))
    moved = draw(data, args.hearts, args.beats, misplaced=1.0)
    known = draw(data, args.hearts, args.beats, misplaced=0.0, held_out=False)
    _say("mean of other hearts", guess(known, beats))
    for words, change in CHANGES.items():
        _say(words, errors(networks, beats, change))
    _say("electrodes off by 12 mm an axis", errors(networks, moved, CHANGES["as simulated"]))
    _say("hearts of training", errors(networks, known, CHANGES["as simulated"]))
    leads = np.concatenate([twelve_leads(beat.electrodes) for beat in beats], axis=1)
    cells = np.stack([beat.potentials for beat in beats])
    for name, own, reference in zip(LEADS, leads.std(axis=1), REFERENCE_STD_MV, strict=True):
        log.info("%-4s %.3f mV, public data set %.3f mV", name, own, reference)
    log.info(
        "potentials: mean %.1f, deviation %.1f, %.1f to %.1f mV", cells.mean(), cells.std(), cells.min(), cells.max()
    )
    for network in networks.values():
        network.close()


def _say(words: str, found: dict[str, float]) -> None:
    log.info("%-32s %s", words, "  ".join(f"{name} {value:.2f}" for name, value in found.items()))


if __name__ == "__main__":
    main()
