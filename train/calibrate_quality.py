"""Fit of the quality model: `python -m train.calibrate_quality --pages 300`.

Synthetic pages, and pictures to be rejected, go through the digitizer; the features of each reading are kept in an .npz
together with its true SNR, and a few dozen coefficients are fitted to them. The networks in
`ecg_trt/weights` are those that are calibrated: after a new export, this is run again, and finds by their hashes that
the features have to be measured anew. An interrupted run is continued; `--fit-only` measures nothing.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from scipy.optimize import isotonic_regression, minimize

from ecg_trt.config import RuntimeOptions
from ecg_trt.digitizer import Digitizer, reading_weights
from ecg_trt.errors import EcgTrtError
from ecg_trt.layout import LEADS
from ecg_trt.metrics import score_record
from ecg_trt.quality.model import FEATURES, FILE, Calibration, Line, as_dict
from ecg_trt.record import in_order
from ecg_trt.synth.negatives import KINDS as negative_kinds
from ecg_trt.synth.negatives import draw_negative
from ecg_trt.synth.recordings import KINDS as recording_kinds
from ecg_trt.synth.recordings import draw_recording
from ecg_trt.synth.sample import make_sample
from ecg_trt.thresholds import load_thresholds
from ecg_trt.types import Array
from ecg_trt.weights import FOLDER
from train.data.signals import SignalSource

log = logging.getLogger("train.calibrate_quality")
SEED = 30_000_000  # neither training's nor a benchmark's
_HARDLY_MISSING = 0.02  # share of a lead that counts as whole
GROSS_ERROR_DB = 5.0  # pages below it were read at a wrong scale, under wrong names, or not at all
RANGE_DB = (-5.0, 30.0)  # no lead or page counts for more or less, so that none outweighs all others
_NON_ECG_SHARE = 0.05  # of all readings; in the fit they are many more
_CUTS = (0.02, 0.04, 0.06, 0.09, *np.linspace(0.12, 1, 12)[:-1])  # of the predictions: few are bad, and matter
_FOLDS = 8
_SAVE_EVERY = 20
CUT_EVERY = 10  # pages, one is cut, so that rows and names that lack mean something
# Sign of each feature's weight: 1 up, -1 down, 0 either. Known signs need not be learned from few pages.
_SNR = {
    "uncertainty": -1, "uncertainty_steep": -1, "unseen": -1, "height": 1, "slope_height_ratio": -1,
    "limb_residual": -1, "page_uncertainty_steep": -1, "page_unseen": -1, "page_limb_residual": -1, "repeats": -1,
    "grid_off": -1, "grid_known": 1, "grid_share": 1, "resolution": 1, "align_off": -1, "strips": 1,
    "synchrony": 1,
}  # fmt: skip
_GROSS_ERROR = {
    "uncertainty": 1, "uncertainty_steep": 1, "limb_residual": 1, "page_limb_residual": 1,
    "page_limb_residual_known": 0, "repeats": 1, "grid_off": 1, "grid_known": -1, "grid_share": -1, "names": -1,
    "nameless": 1, "layout": -1, "missing": 1, "strips": -1, "rows": 0, "odd_length": 1, "scales_uncertainty": 1,
    "legible": -1, "synchrony": -1, "slope_concentration": 0, "align_share": -1,
}  # fmt: skip
_NON_ECG = {
    "page_uncertainty": 1, "page_uncertainty_steep": 1, "page_unseen": 1, "page_height": 0,
    "page_slope_height_ratio": 0, "grid_known": -1, "grid_share": -1, "names": -1, "layout": -1, "missing": 1,
    "strips": -1, "odd_length": 1, "synchrony": -1, "slope_concentration": -1, "page_limb_residual": 1,
    "align_off": 1, "align_share": -1, "regular": -1, "legible": -1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Readings:
    """Features and powers that were measured.

    Attributes:
        features: (n, 12, F), NaN for leads that are not printed, and for pictures that were not answered.
        signal: (n, 12) power of the truth, mV^2, NaN for pictures without one.
        noise: (n, 12) power of the error.
        non_ecg: (n,) bool, non-ECG pictures to be rejected.
        name: (n,) of each picture.
    """

    features: Array
    signal: Array
    noise: Array
    non_ecg: Array
    name: Array

    @property
    def answered(self) -> Array:
        """(n,) bool."""
        return np.asarray(np.isfinite(self.features).all(-1).any(-1))

    @property
    def whole(self) -> Array:
        """(n, 12) bool, leads of which hardly anything is missing."""
        return np.asarray(self.features[..., FEATURES.index("missing_fraction")] < _HARDLY_MISSING)

    def page_db(self) -> Array:
        """(n,) SNR of each page's whole leads together, dB, NaN where there are none."""
        signal, noise = (np.nansum(np.where(self.whole, power, 0), 1) for power in (self.signal, self.noise))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(10 * np.log10(signal / noise))

    def leads(self) -> tuple[Array, Array, Array, Array]:
        """Leads that were printed and read: features (m, F), SNR (m,) dB, picture (m,), wholeness (m,) bool."""
        ok = np.isfinite(self.features).all(-1) & (self.signal > 0)
        db = 10 * np.log10(self.signal[ok] / np.maximum(self.noise[ok], 1e-9))
        return self.features[ok], db.clip(*RANGE_DB), np.nonzero(ok)[0], self.whole[ok]


def measure(digitizer: Digitizer, image: Array, truth: Array | None, fs: float) -> tuple[Array, Array, Array]:
    """Measure features (12, F) of one picture's reading, powers (12,) of truth and error; NaN where there is none."""
    features, signal, noise = np.full((12, len(FEATURES)), np.nan), np.full(12, np.nan), np.full(12, np.nan)
    try:
        reading = digitizer.read(image)
    except EcgTrtError:
        return features, signal, noise
    if truth is not None:
        record = reading.record
        score = score_record(truth, fs, in_order(record.signal_mv, record.lead_names, LEADS), record.fs)
        signal, noise = score.lead_signal_power, score.lead_noise_power
    return in_order(reading.features, reading.record.lead_names, LEADS), signal, noise


def pictures(
    pages: int, negatives: int, seed: int, signals: Path | None = None
) -> Iterator[tuple[str, Callable[[], tuple[Array, Array | None]]]]:
    """Names, and functions that draw the picture and its truth (12, n) in mV at 500 Hz.

    With a folder of signals, half of the pages show records that are held out from training.
    """
    records = SignalSource(signals, held_out=True) if signals else None

    def page(number: int) -> tuple[Array, Array]:
        signal = records.draw(np.random.default_rng(number)) if records else None
        image, truth = make_sample(number, signal_mv=signal, kind=None)
        return image, truth.signal_mv

    def cut(number: int) -> tuple[Array, Array]:
        image, truth = page(number)
        return cut_out(image, number)[0], truth

    for k in range(pages):
        draw = cut if k % CUT_EVERY == CUT_EVERY - 1 else page
        name = f"page {seed + k}, recorded" if signals else f"page {seed + k}"
        yield name, lambda draw=draw, number=seed + k: draw(number)  # type: ignore[misc]
    yield from other_pictures(negatives, seed)


def cut_out(image: Array, number: int) -> tuple[Array, tuple[int, int]]:
    """A part of a picture, of half its sides or more, and the (x, y) of its first pixel."""
    rng = np.random.default_rng(number)
    h, w = (round(side * rng.uniform(0.5, 1.0)) for side in image.shape[:2])
    y, x = (int(rng.integers(side - part + 1)) for side, part in zip(image.shape, (h, w), strict=False))
    return np.ascontiguousarray(image[y : y + h, x : x + w]), (x, y)


def other_pictures(each: int, seed: int) -> Iterator[tuple[str, Callable[[], tuple[Array, None]]]]:
    """Names, and functions that draw pictures to be rejected, some of each kind."""
    drawn = (
        *product([""], [draw_negative], negative_kinds),
        *product(["recording "], [draw_recording], recording_kinds),
    )
    for k, (kind_of, draw_other, kind) in product(range(each), drawn):
        yield f"{kind_of}{kind} {seed + k}", partial(_without_truth, draw_other, kind, seed + k)


def _without_truth(draw: Callable[[str, int], Array], kind: str, number: int) -> tuple[Array, None]:
    return draw(kind, number), None


def collect(path: Path, pages: int, negatives: int, seed: int, threads: int, signals: Path | None = None) -> Readings:
    """Measure the pictures that `path` does not hold yet, writing it from time to time."""
    rows = _load(path)
    wanted = list(pictures(pages, negatives, seed, signals))
    left = [(name, draw) for name, draw in wanted if name not in rows]
    log.info("%d pictures, %d of them measured before", len(wanted), len(wanted) - len(left))
    start = time.monotonic()
    with Digitizer(RuntimeOptions(threads=threads), calibration=nothing_known()) as digitizer:
        for k, (name, draw) in enumerate(left):
            image, truth = draw()
            rows[name] = measure(digitizer, image, truth, 500.0)
            if (k + 1) % _SAVE_EVERY == 0 or k + 1 == len(left):
                _save(path, rows)
                log.info("%d of %d, %.0f s", k + 1, len(left), time.monotonic() - start)
    return _readings({name: rows[name] for name, _ in wanted})


def nothing_known() -> Calibration:
    """Calibration that rejects nothing, so that everything is measured."""
    line = Line((), np.zeros(0), np.ones(0), np.zeros(0), 0.0)
    return Calibration(line, line, 0.0, replace(line, offset=-np.inf), np.array([[0.0, 1.0], [0.0, 1.0]]))


def identity() -> str:
    """Identity of networks and features: measurements of others are not used."""
    return json.dumps([reading_weights(), FEATURES])


def _save(path: Path, rows: Mapping[str, tuple[Array, Array, Array]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    features, signal, noise = (np.stack(column) for column in zip(*rows.values(), strict=True))
    np.savez_compressed(path, identity=identity(), name=list(rows), features=features, signal=signal, noise=noise)


def _load(path: Path) -> dict[str, tuple[Array, Array, Array]]:
    if not path.exists():
        return {}
    with np.load(path) as kept:
        if str(kept["identity"]) != identity():
            log.info("%s is of other networks or features: measured anew", path)
            return {}
        columns = (kept["features"], kept["signal"], kept["noise"])
        return dict(zip(kept["name"].tolist(), zip(*columns, strict=True), strict=True))


def _readings(rows: Mapping[str, tuple[Array, Array, Array]]) -> Readings:
    features, signal, noise = (np.stack(column) for column in zip(*rows.values(), strict=True))
    names = np.array(list(rows))
    return Readings(features, signal, noise, np.array([not name.startswith("page ") for name in names]), names)


def _fitted(x: Array, y: Array, weight: Array, signs: Mapping[str, int], penalty: float, *, odds: bool) -> Line:
    """Weighted least squares, or logistic regression, with a penalty on large weights and bounds on their signs.

    Args:
        x: (n, F).
        y: (n,) values, or 0 and 1.
        weight: (n,).
        signs: features and the signs of their weights.
        penalty: on the squares of the weights.
        odds: logistic regression.
    """
    columns = [FEATURES.index(name) for name in signs]
    mean, scale = x[:, columns].mean(0), np.maximum(x[:, columns].std(0), 1e-3)
    design = np.c_[((x[:, columns] - mean) / scale).clip(-3, 3), np.ones(len(x))]

    def loss(w: Array) -> tuple[float, Array]:
        value = design @ w
        if odds:
            miss, slope = np.logaddexp(0, value) - y * value, 1 / (1 + np.exp(-value.clip(-50, 50))) - y
        else:
            miss, slope = 0.5 * (value - y) ** 2, value - y
        held = np.r_[w[:-1], 0.0]
        return float(weight @ miss + 0.5 * penalty * held @ held), design.T @ (weight * slope) + penalty * held

    bounds = [(0 if sign > 0 else None, 0 if sign < 0 else None) for sign in signs.values()]
    w = minimize(loss, np.zeros(len(columns) + 1), jac=True, method="L-BFGS-B", bounds=[*bounds, (None, None)]).x
    return Line(tuple(signs), mean, scale, w[:-1], float(w[-1]))


def fit(readings: Readings) -> Calibration:
    """The calibration of some readings, its knots still straight."""
    x, y, page, whole = readings.leads()
    page_db = readings.page_db()[page]
    gross_error, is_known = page_db < GROSS_ERROR_DB, np.isfinite(page_db)
    sound, one = whole & ~gross_error, np.ones(len(y))
    known = readings.answered & np.isfinite(readings.features).any((1, 2))
    pages = np.stack([np.nanmean(f, axis=0) for f in readings.features[known]])
    non_ecg = readings.non_ecg[known].astype(float)
    share = _NON_ECG_SHARE / max(non_ecg.mean(), 1e-9)
    return Calibration(
        snr=_fitted(x[sound], y[sound], one[sound], _SNR, 30.0, odds=False),
        gross_error=_fitted(
            x[is_known], gross_error[is_known].astype(float), one[is_known], _GROSS_ERROR, 10.0, odds=True
        ),
        gross_error_db=float(y[gross_error].mean()) if gross_error.any() else 0.0,
        non_ecg=_fitted(pages, non_ecg, np.where(non_ecg > 0, share, 1.0), _NON_ECG, 0.3, odds=True),
        knots_db=np.array([RANGE_DB, RANGE_DB]),
    )


def held_out(readings: Readings) -> tuple[Array, Array, Array, Array]:
    """Predict each fold from the others: SNR (m,) of leads, true SNR (m,), fold (m,), and non-ECG score (n,) of all."""
    x, y, page, _ = readings.leads()
    folds = np.arange(len(readings.name)) % _FOLDS
    raw, non_ecg = np.zeros(len(y)), np.ones(len(readings.name))
    for fold in range(_FOLDS):
        test = folds == fold
        model = fit(Readings(*(getattr(readings, name)[~test] for name in Readings.__slots__)))
        raw[test[page]] = model.raw_snr_db(x[test[page]])
        for k in np.flatnonzero(test):
            non_ecg[k] = model.non_ecg_score(readings.features[k])
    return raw, y, folds[page], non_ecg


def straightened(raw: Array, y: Array, fold: Array) -> Array:
    """(m,) predictions after knots of the other folds' leads alone."""
    out = np.empty(len(raw))
    for k in range(_FOLDS):
        out[fold == k] = np.interp(raw[fold == k], *knots(raw[fold != k], y[fold != k]))
    return out


def knots(raw: Array, y: Array) -> Array:
    """(2, k): means of the true SNR over shares of the predictions, made increasing by isotonic regression."""
    parts = np.split(np.argsort(raw), np.round(np.array(_CUTS) * len(raw)).astype(int))
    parts = [part for part in parts if len(part)]
    x, level = (np.array([values[p].mean() for p in parts]) for values in (raw, y))
    return np.array([x, isotonic_regression(level, weights=[len(p) for p in parts]).x])


def add_picture_arguments(parser: argparse.ArgumentParser, *, pages: int, negatives: int, seed: int) -> None:
    """Add the arguments that say which pictures are drawn and measured."""
    parser.add_argument("--pages", type=int, default=pages)
    parser.add_argument("--negatives", type=int, default=negatives, help="pictures of each kind that is to be rejected")
    parser.add_argument("--seed", type=int, default=seed)
    parser.add_argument("--signals", type=Path, help="folder of records; half of the pages show them")
    parser.add_argument("--threads", type=int, default=0, help="of the networks, 0 for all cores")


def main() -> None:
    """Measure, fit, and write `ecg_trt/weights/quality.json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_picture_arguments(parser, pages=300, negatives=3, seed=SEED)
    parser.add_argument("--features", type=Path, default=Path("runs/quality/features.npz"))
    parser.add_argument("--fit-only", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path, default=FOLDER / FILE)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    readings = (_readings(_load(args.features)) if args.fit_only else
                collect(args.features, args.pages, args.negatives, args.seed, args.threads, args.signals))  # fmt: skip
    raw, y, fold, non_ecg = held_out(readings)
    calibration = replace(fit(readings), knots_db=knots(raw, y))
    report(readings, straightened(raw, y, fold), y, non_ecg, load_thresholds().page.upper)
    content = {**as_dict(calibration), "pages": int((~readings.non_ecg).sum()), "networks": reading_weights()}
    args.out.write_text(json.dumps(content, indent=1) + "\n")
    log.info("written: %s", args.out)


def report(readings: Readings, predicted: Array, y: Array, non_ecg: Array, most: float) -> None:
    """Log how well pages that were left out of the fit are predicted."""
    log.info("%d pages answered of %d; %d leads", (readings.answered & ~readings.non_ecg).sum(),
             (~readings.non_ecg).sum(), len(y))  # fmt: skip
    for low in range(-5, 30, 5):
        mine = (predicted >= low) & (predicted < low + 5)
        if mine.any():
            log.info("predicted %3d to %3d dB: %4d leads, mean %5.1f, true %5.1f", low, low + 5, mine.sum(),
                     predicted[mine].mean(), y[mine].mean())  # fmt: skip
    good = ~readings.non_ecg & (readings.page_db() > GROSS_ERROR_DB)
    log.info("rejected: %d of %d pages read above 5 dB; accepted: %d of %d pictures without an ECG",
             (non_ecg[good] > most).sum(), good.sum(), (non_ecg[readings.non_ecg] <= most).sum(),
             readings.non_ecg.sum())  # fmt: skip


if __name__ == "__main__":
    main()
