"""Calibration from features to decibels, fitted on synthetic pages by `train/calibrate_quality.py`.

The expected signal-to-noise ratio of a lead is that of leads with such features on pages of right layout and scale,
combined with the probability of a gross error, that is of a wrong layout or scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ecg_trt.quality.features import LEAD_FEATURES, PAGE_FEATURES
from ecg_trt.types import Array
from ecg_trt.weights import FOLDER, load_json, restoring

FEATURES = (*LEAD_FEATURES, *PAGE_FEATURES)
FILE, _CONTENT = "quality.json", "The calibration of the quality"
EVEN_DB, SPREAD_DB = 10.0, 2.5  # SNR at which the quality is a half, and the scale of the logistic function.
_MOST_SIGMA = 3.0  # Standardised features are limited to this, as no rarer ones were fitted.


@dataclass(frozen=True, slots=True)
class Line:
    """A weighted sum of standardised features.

    Attributes:
        names: features, of `FEATURES`.
        mean: (k,) of each feature where it was fitted.
        scale: (k,) its standard deviation there.
        weight: (k,) for one standard deviation.
        offset: value at the means.
    """

    names: tuple[str, ...]
    mean: Array
    scale: Array
    weight: Array
    offset: float

    def __call__(self, features: Array) -> Array:
        """Evaluate the sum for features (n, len(FEATURES)): (n,)."""
        columns = [FEATURES.index(name) for name in self.names]
        standard = (features[:, columns] - self.mean) / self.scale
        return np.asarray(standard.clip(-_MOST_SIGMA, _MOST_SIGMA) @ self.weight + self.offset)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Calibration of features to SNR, to the odds of gross errors, and to those of non-ECG pages.

    Attributes:
        snr: SNR of a lead that is read whole, at the right scale and under the right name, dB.
        gross_error: log-odds of a gross error.
        gross_error_db: SNR of leads with a gross error, dB.
        non_ecg: log-odds that a page holds no legible ECG.
        knots_db: (2, k), from the raw SNR to the SNR that such leads had.
    """

    snr: Line
    gross_error: Line
    gross_error_db: float
    non_ecg: Line
    knots_db: Array

    def raw_snr_db(self, features: Array) -> Array:
        """Estimate the SNR (n,), dB, before it is corrected by the knots; a missing part of a lead counts as noise."""
        missing = features[:, FEATURES.index("missing_fraction")]
        noise = (1 - missing) * 10 ** (-self.snr(features) / 10) + missing
        right = (1 - _share(self.gross_error(features))) * (1 - _share(self.non_ecg(features)))
        return np.asarray(-10 * right * np.log10(noise) + (1 - right) * self.gross_error_db)

    def snr_db(self, features: Array) -> Array:
        """Estimate the SNR (n,) of each lead, dB, NaN where the features (n, F) are; see `raw_snr_db`."""
        out = np.full(len(features), np.nan)
        printed = np.isfinite(features).all(1)
        out[printed] = np.interp(self.raw_snr_db(features[printed]), *self.knots_db)
        return out

    def seen_snr_db(self, features: Array) -> Array:
        """Estimate the SNR (n,) of the part of each lead that is not missing, dB."""
        features = features.copy()
        features[:, FEATURES.index("missing_fraction")] = 0.0
        return self.snr_db(features)

    def non_ecg_score(self, features: Array) -> float:
        """Non-ECG score: probability that the page holds no legible ECG, 0..1; 1 if no lead was seen."""
        printed = np.isfinite(features).all(1)
        return float(_share(self.non_ecg(features[printed])).mean()) if printed.any() else 1.0


def quality_of(snr_db: Array) -> Array:
    """Convert an SNR to a quality in [0, 1]: 0.5 at 10 dB, 0.88 at 15, 0.12 at 5; NaN stays NaN.

    A logistic function, 1 / (1 + exp(-(snr - 10) / 2.5)).
    """
    return _share((np.asarray(snr_db, np.float64) - EVEN_DB) / SPREAD_DB)


def page_snr_db(snr_db: Array, signal_mv: Array) -> float:
    """Combine the SNR of leads to that of a page, by summing powers as the metric does; NaN without any lead.

    Powers are those of the samples that were read: a lead of which much is missing weighs too little.
    """
    power = np.nansum(np.square(signal_mv, dtype=np.float64), axis=1)
    known = np.isfinite(snr_db) & (power > 0)
    if not known.any():
        return float("nan")
    noise = power[known] / 10 ** (snr_db[known] / 10)
    return float(10 * np.log10(power[known].sum() / noise.sum()))


def _share(log_odds: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -50, 50))))


def as_dict(calibration: Calibration) -> dict[str, object]:
    """Convert a calibration to plain values for JSON, from which `from_dict` restores it."""
    lines = {name: getattr(calibration, name) for name in ("snr", "gross_error", "non_ecg")}
    return {
        **{name: {"offset": round(float(line.offset), 5), "features": {
            feature: [round(float(v), 5) for v in values]
            for feature, *values in zip(line.names, line.mean, line.scale, line.weight, strict=True)
        }} for name, line in lines.items()},
        "gross_error_db": round(calibration.gross_error_db, 3),
        "knots_db": np.round(calibration.knots_db, 3).tolist(),
    }  # fmt: skip


def from_dict(values: Mapping[str, object]) -> Calibration:
    """Restore a calibration from the values of `as_dict`.

    Raises:
        WeightsError: something is missing, or a feature is unknown.
    """
    remedy = "fit it anew with `python -m train.calibrate_quality`"
    with restoring(_CONTENT, "the features that this version measures", remedy):
        knots = np.array(values["knots_db"], np.float64)
        return Calibration(
            snr=_line(values["snr"]), gross_error=_line(values["gross_error"]),
            gross_error_db=_number(values["gross_error_db"]), non_ecg=_line(values["non_ecg"]),
            knots_db=knots.reshape(2, -1),
        )  # fmt: skip


def _number(value: object) -> float:
    return float(value)  # type: ignore[arg-type]


def _line(values: object) -> Line:
    features: Mapping[str, list[float]] = values["features"]  # type: ignore[index]
    unknown = set(features) - set(FEATURES)
    if unknown:
        raise ValueError(f"unknown features {', '.join(sorted(unknown))}")
    mean, scale, weight = np.array(list(features.values()), np.float64).reshape(-1, 3).T
    return Line(tuple(features), mean, scale, weight, _number(values["offset"]))  # type: ignore[index]


@lru_cache(maxsize=4)
def load_calibration(path: Path = FOLDER / FILE) -> Calibration:
    """Load the calibration of the package, or another.

    Raises:
        WeightsError: it is missing or cannot be read.
    """
    return from_dict(load_json(path, _CONTENT))


def is_of(networks: Mapping[str, str], path: Path = FOLDER / FILE) -> bool:
    """Compare the networks that the calibration was fitted to with these (name to sha256); others do not count.

    Raises:
        WeightsError: it is missing or cannot be read.
    """
    fitted = load_json(path, _CONTENT).get("networks")
    return isinstance(fitted, Mapping) and bool(fitted) and fitted.items() <= networks.items()
