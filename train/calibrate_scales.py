"""Fit of the likelihoods that speed and gain are read by: `python -m train.calibrate_scales --pages 200`.

Synthetic pages go through the digitizer; what each shows of its scales is kept in a file beside its true speed and
gain. The weights of `ecg_trt.page.scales.ScaleModel` are those under which the truth is most probable; they are
printed, to be written there. The priors are not fitted, as the pages of hospitals differ from those that are drawn.
"""

from __future__ import annotations

import argparse
import logging
import pickle
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from ecg_trt.config import RuntimeOptions
from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import EcgTrtError
from ecg_trt.io.atomic import atomic_path
from ecg_trt.page.scales import ScaleModel, ScaleSigns, log_posterior
from ecg_trt.synth.sample import make_sample
from ecg_trt.types import Array

log = logging.getLogger("train.calibrate_scales")
SEED = 61_000_000  # neither training's nor a benchmark's
_SHARES = {
    "read_error",
    "cut",
    "cut_last",
    "no_pulse",
    "no_patch",
    "beats",
    "odd_beats",
    "short_rows",
    "long_rows",
}  # within 0 and 1
_SET = {"speed_prior", "gain_prior"}
_KEPT = 0.02  # Weight of the distance from the weights as they are, for what hardly any page shows.
_LEAST = -12.0  # Log-probability of the truth that no page falls below, so that none outweighs all others.

Page = tuple[ScaleSigns, float, float]  # what it shows, speed, gain


def collect(path: Path, pages: int, threads: int) -> list[Page]:
    """Read the pages that `path` does not hold yet; those that are rejected are left out."""
    seen: dict[int, Page | None] = pickle.loads(path.read_bytes()) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    with Digitizer(RuntimeOptions(threads=threads)) as digitizer:
        for number in range(SEED, SEED + pages):
            if number in seen:
                continue
            image, truth = make_sample(number)
            try:
                signs = digitizer.read(image).scale_signs
                seen[number] = signs, truth.paper_speed_mm_per_s, truth.gain_mm_per_mv
            except EcgTrtError as error:
                log.info("page %d: %s", number, error.what)
                seen[number] = None
            with atomic_path(path) as temporary:
                temporary.write_bytes(pickle.dumps(seen))
    return [page for number, page in seen.items() if page is not None and number < SEED + pages]


def fit(pages: Sequence[Page], start: ScaleModel | None = None) -> ScaleModel:
    """Fit the weights to pages."""
    first = start or ScaleModel()
    names = [field.name for field in fields(ScaleModel) if field.name not in _SET]

    def model_of(point: Array) -> ScaleModel:
        weights: dict[str, Any] = {n: _value(n, v) for n, v in zip(names, point.tolist(), strict=True)}
        return replace(first, **weights)

    def loss(point: Array) -> float:
        model = model_of(point)
        likely = [max(log_posterior(signs, model)[speed, gain], _LEAST) for signs, speed, gain in pages]
        return -float(np.mean(likely)) + _KEPT * float(np.mean((point - begin) ** 2))

    begin = np.array([_point(name, getattr(first, name)) for name in names])
    found = minimize(loss, begin, method="L-BFGS-B", options={"maxiter": 25})
    log.info("mean log-probability of the truth: %.4f before, %.4f after", -loss(begin), -found.fun)
    return model_of(found.x)


def _point(name: str, value: float) -> float:
    return value if name == "wide" else float(logit(value) if name in _SHARES else np.log(value))


def _value(name: str, point: float) -> float:
    return point if name == "wide" else float(expit(point) if name in _SHARES else np.exp(point))


def main() -> None:
    """Collect and fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--signs", type=Path, default=Path("runs/scales/signs.pickle"), help="what pages show")
    parser.add_argument("--threads", type=int, default=0, help="of the networks, 0 for all cores")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model = fit(collect(args.signs, args.pages, args.threads))
    for field in fields(model):
        print(f"{field.name} = {np.round(getattr(model, field.name), 3)}")


if __name__ == "__main__":
    main()
