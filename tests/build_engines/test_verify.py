"""The comparison that every plan's network must pass."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from build_engines.export import Precision, export
from build_engines.verify import compare, draw_feed
from ecg_trt.backends.fake import FakeBackend
from ecg_trt.backends.ort import OrtBackend
from ecg_trt.errors import BuildError
from ecg_trt.networks import NETWORKS, READING_NETWORKS, HeadKind, InputSpec, NetworkSpec
from ecg_trt.types import Array
from ecg_trt.weights import weights_path
from tests.marks import slow_but

IMAGE = InputSpec("image", (2, 64, 90, 3))
HEADS = {"ridge": HeadKind.RIDGE, "presence": HeadKind.PRESENCE}
RIDGE = NetworkSpec("stage2", (IMAGE,), HEADS, (10.0, 6.0))
PLAIN = NetworkSpec("plain", (InputSpec("x", (4,), dtype="float32"),), {"y": HeadKind.VALUE})


def answering(outputs: Mapping[str, Array]) -> FakeBackend:
    return FakeBackend(lambda feed: outputs)


def ridge_at(row: float, present: float = 5.0) -> dict[str, Array]:
    """A pen of Gaussian profile at one height."""
    rows = np.arange(64, dtype=np.float32)[None, None, :, None]
    logits = np.broadcast_to(-((rows - row) ** 2) / 2, (2, 1, 64, 90)).astype(np.float32)
    return {"ridge": logits, "presence": np.full((2, 90), present, np.float32)}


def test_differences_are_counted() -> None:
    expected, got = {"y": np.array([10, -20, 1, 0], np.float32)}, {"y": np.array([10.1, -20.2, 1, 0], np.float32)}
    comparison = compare(answering(expected), answering(got), {}, PLAIN)
    assert comparison.signal_mv is None
    (y,) = comparison.outputs
    assert comparison.worst is y
    assert (y.max, y.mean, y.median, y.scale) == pytest.approx((0.2, 0.075, 0.05, 20), rel=1e-4)


def test_a_ridge_is_compared_in_millivolts() -> None:
    comparison = compare(answering(ridge_at(31.5)), answering(ridge_at(31.56)), {}, RIDGE)
    assert comparison.signal_mv is not None
    assert comparison.signal_mv.median == pytest.approx(0.06 / 60, rel=0.02)


@pytest.mark.parametrize(
    ("got", "words"),
    [
        ({"z": np.zeros(4)}, r"\['z'\].*\['y'\]"),
        ({"y": np.zeros(3)}, r"\(3,\)"),
        ({"y": np.array([10, -20, np.nan, 0], np.float32)}, "75% finite"),
        ({"y": np.array([10, -20, 1, 0.5], np.float32)}, "y off by up to 0.5 of 20"),
    ],
)
def test_what_is_too_far_off_is_refused(got: dict[str, Array], words: str) -> None:
    with pytest.raises(BuildError, match=words):
        compare(answering({"y": np.array([10, -20, 1, 0], np.float32)}), answering(got), {}, PLAIN)


def test_a_signal_that_is_too_far_off_is_refused() -> None:
    steep = NetworkSpec("stage2", (IMAGE,), HEADS, (10.0, 0.6))
    with pytest.raises(BuildError, match="a signal off by"):
        compare(answering(ridge_at(31.5)), answering(ridge_at(31.56)), {}, steep)
    with pytest.raises(BuildError, match="sees no trace"):
        compare(answering(ridge_at(31.5, present=-5)), answering(ridge_at(31.5)), {}, RIDGE)


@pytest.mark.parametrize("stage", READING_NETWORKS)
def test_feeds_look_like_pages(stage: str) -> None:
    feed = draw_feed(NETWORKS[stage], seed=1)
    assert {name: array.shape for name, array in feed.items()} == NETWORKS[stage].shapes
    image = feed["image"]
    assert image.dtype == np.uint8 and image.std() > 8
    np.testing.assert_array_equal(image, draw_feed(NETWORKS[stage], seed=1)["image"])
    assert (image != draw_feed(NETWORKS[stage], seed=2)["image"]).any()


def test_other_inputs_get_noise() -> None:
    noise = draw_feed(NetworkSpec("other", (InputSpec("signal", (2, 500), dtype="float32"),)))["signal"]
    assert noise.dtype == np.float32 and noise.shape == (2, 500) and 0.9 < noise.std() < 1.1


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("stage", slow_but(["stage0", "caption"], NETWORKS))
def test_the_shipped_networks_pass(stage: str, precision: Precision) -> None:
    spec, path = NETWORKS[stage], weights_path(stage)
    with OrtBackend(path) as reference, OrtBackend(export(path, precision, spec.shapes)) as candidate:
        comparison = compare(reference, candidate, draw_feed(spec), spec)
    assert len(comparison.outputs) == len(candidate.outputs)
    limit = 0.005 if precision is Precision.FP16 else 1e-5
    assert comparison.worst.max < limit * comparison.worst.scale
    assert (comparison.signal_mv is not None) == (stage == "stage2")
    if comparison.signal_mv is not None:
        assert comparison.signal_mv.median < 1e-4  # mV
