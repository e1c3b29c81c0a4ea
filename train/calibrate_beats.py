"""Fit of what beats say of the paper speed: `python -m train.calibrate_beats --signals ../shared/data/signals`.

Records are laid out as the rows of pages at 25 and at 50 mm/s, drawn by a pen of finite width and traced with noise;
nothing is photographed. The mixture of `ecg_trt.signal.beat_speed.BeatModel` is fitted to their lengths as at 25 mm/s,
and written to the package. The report at the end is on records that the mixture was not fitted to.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ecg_trt.io.atomic import atomic_path
from ecg_trt.layout import LAYOUTS, LEADS, PAPER_SPEEDS_MM_PER_S, STANDARD_GAIN_MM_PER_MV, Layout
from ecg_trt.signal.beat_speed import FILE, BeatModel, beat_lengths_mm
from ecg_trt.types import Array
from ecg_trt.weights import FOLDER
from train.data.signals import FS, SignalSource

log = logging.getLogger("train.calibrate_beats")
SEED = 62_000_000  # neither training's nor a benchmark's
SPEEDS = (25.0, 50.0)
COMPONENTS = 4
_PAGES = 2  # of each record and speed, in layouts drawn by lot
_WIDTH_MM, _PX_PER_MM, _GAP_MM = 250.0, 10.0, 0.5
_PEN_MM, _NOISE_MM, _GRAIN_MM = (0.1, 0.3), (0.02, 0.25), 0.3  # deviations, by lot; length over which noise is alike
_FOLDS = 4


def rows_of(rng: np.random.Generator, signal_mv: Array, fs: float, layout: Layout, speed: float) -> Array:
    """Lay out a record as the rows of a page, as they are traced.

    Args:
        rng: source of randomness.
        signal_mv: (12, n) in the order of `LEADS`.
        fs: Hz.
        layout: of the page; its columns share 250 mm as they share its seconds.
        speed: mm/s.

    Returns:
        (rows, W) mm at 10 px/mm, NaN between columns and where the record has ended.
    """
    x = np.arange(round(_WIDTH_MM * _PX_PER_MM)) / _PX_PER_MM
    seconds = x / speed + rng.uniform(0, max(0.0, signal_mv.shape[1] / fs - _WIDTH_MM / speed))
    known = np.arange(signal_mv.shape[1]) / fs
    height = np.full((len(layout.rows), len(x)), np.nan)
    for row, names, shares in zip(height, layout.rows, layout.column_seconds, strict=True):
        borders = _WIDTH_MM * np.concatenate([[0.0], np.cumsum(shares)]) / sum(shares)
        for name, start, end in zip(names, borders[:-1], borders[1:], strict=True):
            own = (x > start + _GAP_MM) & (x < end - _GAP_MM)
            lead = signal_mv[LEADS.index(name)] * STANDARD_GAIN_MM_PER_MV
            row[own] = np.interp(seconds[own], known, lead, right=np.nan)
    pen, grain = rng.uniform(*_PEN_MM) * _PX_PER_MM, _GRAIN_MM * _PX_PER_MM
    drawn = np.where(np.isfinite(height), gaussian_filter1d(np.nan_to_num(height), pen, axis=1), np.nan)
    noise = gaussian_filter1d(rng.standard_normal(height.shape), grain, axis=1)
    return np.asarray(drawn + rng.uniform(*_NOISE_MM) * noise)


def features_of(records: Sequence[Array], seed: int) -> tuple[Array, Array]:
    """Features of pages of records, log10 mm as at 25 mm/s.

    Args:
        records: (12, n) mV at `FS` each.
        seed: of the layouts, and of pen and noise.

    Returns:
        (n, 4), and the number (n,) of the record of each; pages with too few beats are left out.
    """
    known = [layout for layout in LAYOUTS.values() if set(layout.leads) <= set(LEADS)]
    weight = np.array([layout.weight for layout in known])
    features, numbers = [], []
    for number, record in enumerate(records):
        for page in range(_PAGES * len(SPEEDS)):
            rng, speed = np.random.default_rng((seed, number, page)), SPEEDS[page % len(SPEEDS)]
            layout = known[rng.choice(len(known), p=weight / weight.sum())]
            lengths = beat_lengths_mm(rows_of(rng, record, FS, layout, speed), _PX_PER_MM)
            if lengths is not None:
                features.append(np.log10(lengths * SPEEDS[0] / speed))
                numbers.append(number)
    return np.array(features), np.array(numbers)


def fit(features: Array) -> BeatModel:
    """Fit the mixture to features (n, 4)."""
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(COMPONENTS, n_init=5, reg_covar=2e-4, random_state=0).fit(features)
    return BeatModel(mixture.weights_, mixture.means_, mixture.covariances_)


def errors(features: Array, numbers: Array) -> dict[float, float]:
    """Share of pages at each of `SPEEDS` for which the other one is likelier, by models of other records."""
    wrong: dict[float, list[bool]] = {speed: [] for speed in SPEEDS}
    for fold in range(_FOLDS):
        model = fit(features[numbers % _FOLDS != fold])
        for row in features[numbers % _FOLDS == fold]:
            for speed, other in zip(SPEEDS, SPEEDS[::-1], strict=True):
                likely = model.speed_log_likelihoods(row + np.log10(speed / SPEEDS[0]))
                known = dict(zip(PAPER_SPEEDS_MM_PER_S, likely.tolist(), strict=True))
                wrong[speed].append(known[other] > known[speed])
    return {speed: float(np.mean(seen)) for speed, seen in wrong.items()}


def main() -> None:
    """Lay out, fit, write and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signals", type=Path, required=True, help="records, as of training")
    parser.add_argument("--out", type=Path, default=FOLDER / FILE)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    features, numbers = features_of(SignalSource(args.signals).records, SEED)
    model = fit(features)
    values = {name: np.round(getattr(model, name), 5).tolist() for name in ("shares", "means", "covariances")}
    with atomic_path(args.out) as part:
        part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    for speed, share in errors(features, numbers).items():
        log.info("of %d pages at %g mm/s, the other speed is likelier on %.2f %%", len(features), speed, 100 * share)


if __name__ == "__main__":
    main()
