"""Weights of what a page shows of its scales."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ecg_trt.page.pulses import PulseSigns
from ecg_trt.page.scales import ScaleModel, ScaleSigns, log_posterior
from ecg_trt.printed import Quantity
from train.calibrate_scales import fit


def _page(rng: np.random.Generator) -> tuple[ScaleSigns, float, float]:
    """A page whose print is right in 9 of 10, and whose curves are about 1 mV high."""
    speed, gain = (float(rng.choice(values)) for values in ([25.0, 50.0], [5.0, 10.0, 20.0]))
    read = speed if rng.random() < 0.9 else 75.0 - speed
    signs = ScaleSigns({Quantity.SPEED: {read: 0.97}}, PulseSigns(np.full((2, 3), 0.03)),
                       height_mm=gain * float(np.exp(rng.normal(0, 0.3))))  # fmt: skip
    return signs, speed, gain


def test_weights_follow_what_the_pages_show() -> None:
    pages = [_page(np.random.default_rng(k)) for k in range(120)]
    before = ScaleModel()
    after = fit(pages, before)
    assert after.read_error > 3 * before.read_error, "print that is often wrong counts less"
    assert after.spread < before.spread, "heights that differ little count more"
    assert (after.speed_prior, after.gain_prior) == (before.speed_prior, before.gain_prior)

    def likely(model: ScaleModel) -> float:
        return float(np.mean([log_posterior(signs, model)[speed, gain] for signs, speed, gain in pages]))

    assert likely(after) > likely(before) > likely(replace(before, read_error=0.9))
