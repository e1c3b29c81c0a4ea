"""Comparison of a plan with the FP32 network. Both get the same feed: a drawn page, prepared for the network.

ONNX Runtime on the CPU is the reference. It runs FP16 graphs too, but computes their convolutions in FP32 and drops the
rounding between some neighbours: against a strict rounding of every tensor its differences came out a fifth to a third
too small. An engine is compared in the same way, through the same `Backend`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from ecg_trt.backends.base import Backend
from ecg_trt.errors import BuildError
from ecg_trt.geometry.ridge import decode_ridge, follow_ridge
from ecg_trt.networks import HeadKind, InputSpec, NetworkSpec
from ecg_trt.types import Array

_GAIN_MM_PER_MV = 10.0
_PAGE_PX_PER_MM = 10.0
_MOST_RELATIVE = 0.02  # FP16 keeps 11 bits: some dozens of layers differ by less than 0.002.
_MOST_MEDIAN_MV = 0.002  # This is about a tenth of a pixel.


@dataclass(frozen=True, slots=True)
class Difference:
    """Absolute difference of two arrays.

    Attributes:
        name: of the output, or "signal".
        max: greatest absolute difference, in the output's unit.
        mean: mean absolute difference.
        median: median absolute difference.
        scale: greatest absolute value of the reference.
    """

    name: str
    max: float
    mean: float
    median: float
    scale: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Differences between a candidate and the reference.

    Attributes:
        outputs: one for each output.
        signal_mv: after decoding, mV at 10 mm/mV, over the columns that show a trace; None where nothing is decoded.
    """

    outputs: tuple[Difference, ...]
    signal_mv: Difference | None

    @property
    def worst(self) -> Difference:
        """Output with the greatest difference relative to its scale."""
        return max(self.outputs, key=lambda d: d.max / max(d.scale, 1e-30))


def compare(reference: Backend, candidate: Backend, feed: Mapping[str, Array], spec: NetworkSpec) -> Comparison:
    """Run both networks on the same feed and compare their outputs.

    Args:
        reference: the FP32 network.
        candidate: what is doubted.
        feed: for both.
        spec: names the output that is a ridge.

    Raises:
        BuildError: other outputs or shapes, values that are not finite, or differences that FP16 does not explain.
    """
    expected, got = reference.infer(feed), candidate.infer(feed)
    if set(expected) != set(got):
        raise _disagrees(spec.name, f"outputs {sorted(got)}", f"outputs {sorted(expected)}")
    for name, array in expected.items():
        if got[name].shape != array.shape or not np.isfinite(got[name]).all():
            raise _disagrees(spec.name, f"{name} {got[name].shape}, {np.isfinite(got[name]).mean():.0%} finite",
                             f"{name} {array.shape}, all finite")  # fmt: skip
    outputs = tuple(_difference(name, array, got[name]) for name, array in expected.items())
    signal = _signal_difference(expected, got, spec) if spec.head(HeadKind.RIDGE) else None
    comparison = Comparison(outputs, signal)
    worst = comparison.worst
    if worst.max > _MOST_RELATIVE * worst.scale:
        raise _disagrees(spec.name, f"{worst.name} off by up to {worst.max:.3g} of {worst.scale:.3g}",
                         f"at most {_MOST_RELATIVE:.0%}")  # fmt: skip
    if signal is not None and signal.median > _MOST_MEDIAN_MV:
        raise _disagrees(spec.name, f"a signal off by {signal.median:.4f} mV in the median",
                         f"at most {_MOST_MEDIAN_MV} mV")  # fmt: skip
    return comparison


def draw_feed(spec: NetworkSpec, seed: int = 1) -> dict[str, Array]:
    """Draw an input like those that the network will be given.

    Args:
        spec: the network.
        seed: of the page and the noise.

    Returns:
        For an image, windows of a drawn page at the spec's scale, one strip after the other; for other inputs, noise.
    """
    rng = np.random.default_rng(seed)
    feed: dict[str, Array] = {}
    for entry in spec.inputs:
        feed[entry.name] = _windows(spec, entry.shape, seed) if entry.is_image else _noise(rng, entry)
    return feed


def _noise(rng: np.random.Generator, entry: InputSpec) -> Array:
    """Draw noise: normal where an input holds fractions, uniform where it holds integers."""
    kind = np.dtype(entry.dtype)
    if np.issubdtype(kind, np.floating):
        return rng.standard_normal(entry.shape).astype(kind)
    return rng.integers(0, 128, entry.shape).astype(kind)


def _windows(spec: NetworkSpec, shape: tuple[int, ...], seed: int) -> Array:
    """Crop (n, H, W, 3) uint8 windows, image k centred on strip k of the page, starting again after the last strip."""
    from ecg_trt.synth.page import draw_page
    from ecg_trt.synth.signals import simulate
    from ecg_trt.synth.spec import draw_spec

    rng = np.random.default_rng(seed)
    look = draw_spec(rng, layout="3x4+1", paper_speed_mm_per_s=25.0, gain_mm_per_mv=_GAIN_MM_PER_MV, clutter=0.0)
    page = draw_page(rng, simulate(rng, fs=500.0, seconds=10.0), 500.0, px_per_mm=_PAGE_PX_PER_MM, spec=look)
    n, height, width, _ = shape
    sx, sy = spec.px_per_mm
    image = cv2.resize(page.image, None, fx=sx / _PAGE_PX_PER_MM, fy=sy / _PAGE_PX_PER_MM, interpolation=cv2.INTER_AREA)
    image = cv2.copyMakeBorder(image, height, height, width, width, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    out = np.empty(shape, np.uint8)
    for k in range(n):
        strip = page.strips[k % len(page.strips)]
        x_mm, y_mm = sum(strip.x_mm) / 2, strip.zero_y_mm
        if not spec.head(HeadKind.RIDGE):  # The network takes the whole page: it lies in the middle.
            x_mm, y_mm = page.image.shape[1] / _PAGE_PX_PER_MM / 2, page.image.shape[0] / _PAGE_PX_PER_MM / 2
        left, top = round(width + x_mm * sx - width / 2), round(height + y_mm * sy - height / 2)
        out[k] = image[top : top + height, left : left + width]
    return out


def _signal_difference(expected: Mapping[str, Array], got: Mapping[str, Array], spec: NetworkSpec) -> Difference:
    """Measure the difference in mV, over the columns where the reference finds the strip's trace."""
    ridge, presence = spec.head(HeadKind.RIDGE), spec.head(HeadKind.PRESENCE)
    seen = expected[presence] > 0 if presence else np.ones_like(expected[ridge][:, 0, 0], bool)
    if not seen.any():
        raise _disagrees(spec.name, "a reference that sees no trace", "a trace in the drawn page")
    px_per_mv = spec.px_per_mm[1] * _GAIN_MM_PER_MV
    rows = [decode_ridge(o[:, 0], centre=follow_ridge(o[:, 0]))[0] for o in (expected[ridge], got[ridge])]
    middle = (expected[ridge].shape[2] - 1) / 2
    a, b = ((middle - row[seen]) / px_per_mv for row in rows)
    return _difference("signal", a, b)


def _difference(name: str, expected: Array, got: Array) -> Difference:
    gap = np.abs(expected.astype(np.float64) - got)
    return Difference(name, float(gap.max()), float(gap.mean()), float(np.median(gap)), float(np.abs(expected).max()))


def _disagrees(stage: str, got: str, expected: str) -> BuildError:
    return BuildError(
        f"{stage} does not answer as its FP32 network does",
        got=got,
        expected=expected,
        hint="Build it with --precision fp32, and please report it.",
    )
