"""Maps of the heart from beats that went over paper and back: `python -m benchmarks.heart_on_paper`.

Each page shows one beat of a simulated heart, repeated, as a photo of a 3x4+1 print. It is digitized, and the median
over the repeats is mapped; the instants of the beats are known. Needs the extra train.
"""

from __future__ import annotations

import argparse

import numpy as np

from ecg_trt.analysis.electrophysiology import BEFORE_QRS_MS, HeartMap, HeartMapper
from ecg_trt.backends.select import open_runtime
from ecg_trt.config import ReadOptions
from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import PageError
from ecg_trt.record import EcgRecord
from ecg_trt.synth.sample import make_sample
from ecg_trt.types import Array
from train.config import Data
from train.data.heart.electrodes import twelve_leads
from train.data.heart.simulator import Beat
from train.score_hearts import draw

_FS, _SAMPLES = 500.0, 5000  # of the printed record
_PERIOD, _WINDOW = 450, 250  # samples from beat to beat, and of one


def printed(beat: Beat) -> Array:
    """(12, 5000) mV at 500 Hz: the beat again and again."""
    leads = twelve_leads(beat.electrodes)[:, ::2]
    period = np.concatenate([leads, np.repeat(leads[:, -1:], _PERIOD - _WINDOW, axis=1)], axis=1)
    return np.asarray(np.tile(period, (1, _SAMPLES // _PERIOD + 1))[:, :_SAMPLES], np.float32)


def median_of(record: EcgRecord) -> Array:
    """(12, 250) median over the beats that each lead shows whole, NaN for a lead that shows none."""
    signal = record.to_array(leads=12, samples=_SAMPLES, fs=_FS)
    starts = range(0, _SAMPLES - _WINDOW, _PERIOD)
    beats = np.stack([signal[:, start : start + _WINDOW] for start in starts])
    whole = np.isfinite(beats).all(axis=2)
    return np.stack([
        np.median(beats[whole[:, lead], lead], axis=0) if whole[:, lead].any() else np.full(_WINDOW, np.nan)
        for lead in range(signal.shape[0])
    ])  # fmt: skip


def errors(found: HeartMap, beat: Beat) -> tuple[float, float]:
    """Mean absolute error of activation, ms, and mean square error of potentials, mV2."""
    late = np.abs(found.activation_ms + BEFORE_QRS_MS - beat.activation).mean()
    return float(late), float(np.square(found.require_potentials() - beat.potentials).mean())


def main() -> None:
    """Print the errors of beats as they are and over paper."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=40)
    args = parser.parse_args()
    rows, unread = [], 0
    networks = ("activation", "potentials")
    with open_runtime("ort", networks=networks) as runtime, Digitizer() as digitize:
        mapper = HeartMapper(*map(runtime.backend, networks))
        for k, beat in enumerate(draw(Data(), args.pages, 1, misplaced=0.0)):
            image, _ = make_sample(k, signal_mv=printed(beat), layout="3x4+1", paper_speed_mm_per_s=25.0)
            try:
                median = median_of(digitize(image, ReadOptions(layout="3x4+1", speed=25)))
                over_paper = mapper(median, _FS, BEFORE_QRS_MS / 1000)
            except (PageError, ValueError):
                unread += 1
                continue
            clean = mapper(twelve_leads(beat.electrodes)[:, ::2], _FS, BEFORE_QRS_MS / 1000)
            rows.append((*errors(clean, beat), *errors(over_paper, beat)))
    late, wrong, late_paper, wrong_paper = np.mean(rows, axis=0)
    print(f"{len(rows)} pages, {unread} not read or without eight leads")
    print(f"as simulated: {late:.1f} ms, {np.sqrt(wrong):.1f} mV")
    print(f"over paper:   {late_paper:.1f} ms, {np.sqrt(wrong_paper):.1f} mV")


if __name__ == "__main__":
    main()
