from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest

from ecg_trt.backends.fake import FakeBackend
from ecg_trt.errors import BackendError, OptionError
from ecg_trt.inference import Ensemble, View, Views, Windows, vote
from ecg_trt.types import Array, TensorSpec

_TRACE = (TensorSpec("ridge", "float32", ("n", 1, 32, 64)), TensorSpec("presence", "float32", ("n", 64)),
          TensorSpec("border", "float32", ("n", 64)))  # fmt: skip
_IMAGE = (TensorSpec("image", "uint8", ("n", 32, 64, 3)),)


def _brightness(feed: Mapping[str, Array]) -> dict[str, Array]:
    """A network that answers with what it sees: each pixel, and the mean and the greatest of each column."""
    grey = feed["image"].astype(np.float32).mean(-1) / 64
    return {"ridge": grey[:, None], "presence": grey.mean(1), "border": grey.max(1)}


def _picture(seed: int = 0, hw: tuple[int, int] = (32, 64)) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (2, *hw, 3), dtype=np.uint8)


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x.astype(np.float64))))


def _softmax(x: Array) -> Array:
    e = np.exp(x.astype(np.float64) - x.max(2, keepdims=True))
    return np.asarray(e / e.sum(2, keepdims=True))


def test_probabilities_are_averaged_as_the_heads_mean_them() -> None:
    rng = np.random.default_rng(1)
    answers = [
        {
            "presence": rng.normal(0, 4, (2, 8)).astype(np.float32),
            "border": rng.normal(0, 4, (2, 8)).astype(np.float32),
            "ridge": rng.normal(0, 3, (2, 1, 6, 8)).astype(np.float32),
            "offset": rng.normal(size=(2, 2, 3, 4)).astype(np.float32),
        }
        for _ in range(3)
    ]
    shares = np.array([0.5, 0.3, 0.2])
    said = vote(answers, [5, 3, 2])
    for name, meant in (("presence", _sigmoid), ("border", _sigmoid), ("ridge", _softmax), ("offset", np.asarray)):
        expected = sum(s * meant(a[name]) for s, a in zip(shares, answers, strict=True))
        assert np.allclose(meant(said[name]), expected, atol=1e-6), name
        assert said[name].dtype == np.float32


def test_certainty_stays_finite_and_a_weight_of_nothing_counts_for_nothing() -> None:
    sure = {"presence": np.array([[200.0, -200.0]], np.float32)}
    unsure = {"presence": np.array([[0.0, 0.0]], np.float32)}
    both = vote([sure, unsure])["presence"]
    assert both == pytest.approx(np.log([[3.0, 1 / 3]]), abs=1e-4)
    assert vote([sure, unsure], [0, 1])["presence"] == pytest.approx(unsure["presence"], abs=1e-6)


@pytest.mark.parametrize(
    ("answers", "weights"),
    [([], None), ([{}, {}], [1.0]), ([{}, {}], [0.0, 0.0]), ([{}, {}], [1.0, -1.0]), ([{}, {}], [1.0, np.nan]),
     ([{"a": np.zeros(2)}, {"a": np.zeros(3)}], None), ([{"a": np.zeros(2)}, {"b": np.zeros(2)}], None)],
)  # fmt: skip
def test_votes_that_cannot_be_counted(answers: Sequence[dict[str, Array]], weights: Sequence[float] | None) -> None:
    with pytest.raises(OptionError, match="cannot be put together"):
        vote(answers, weights)


@pytest.mark.parametrize("view", [View(), View(3, 0), View(0, -2), View(-5, 4), View(mirrored=True), View(2, 1, True)])
def test_each_view_is_laid_back_on_the_picture(view: View) -> None:
    image = _picture()
    with Views(FakeBackend(_brightness, _IMAGE, _TRACE), [view]) as network:
        said = network.infer({"image": image})
    inner = np.s_[..., 4:-4, 5:-5]
    assert np.array_equal(said["ridge"][inner], _brightness({"image": image})["ridge"][inner])
    if not view.dy:
        for name in ("presence", "border"):
            assert np.array_equal(said[name][:, 5:-5], _brightness({"image": image})[name][:, 5:-5]), name


def test_answers_at_a_stride_move_by_whole_cells() -> None:
    def coarse(feed: Mapping[str, Array]) -> dict[str, Array]:
        return {"offset": feed["image"][:, ::4, ::4, :2].transpose(0, 3, 1, 2).astype(np.float32)}

    backend = FakeBackend(coarse, _IMAGE, (TensorSpec("offset", "float32", ("n", 2, 8, 16)),))
    said = Views(backend, [View(8, -4)]).infer({"image": _picture()})["offset"]
    assert np.array_equal(said[..., 1:-1, 2:-2], coarse({"image": _picture()})["offset"][..., 1:-1, 2:-2])
    with pytest.raises(OptionError, match="whole cells"):
        Views(backend, [View(2)]).infer({"image": _picture()})
    with pytest.raises(OptionError, match="mirrored"):
        Views(backend, [View(mirrored=True)])


def test_views_of_a_network_that_answers_the_same_change_nothing() -> None:
    backend = FakeBackend(_brightness, _IMAGE, _TRACE)
    said = Views(backend, [View(), View(mirrored=True)], [3, 1]).infer({"image": _picture()})
    plain = _brightness({"image": _picture()})
    assert np.allclose(_softmax(said["ridge"]), _softmax(plain["ridge"]), atol=1e-6)
    assert all(np.allclose(said[name], plain[name], atol=1e-5) for name in ("presence", "border"))


def _darkness(feed: Mapping[str, Array]) -> dict[str, Array]:
    return {"node": -feed["image"][:, ::4, ::4, :1].transpose(0, 3, 1, 2).astype(np.float32)}


@pytest.mark.parametrize("hw", [(32, 64), (96, 64), (100, 180), (20, 40)])
def test_windows_agree_where_the_network_does_not_look_around(hw: tuple[int, int]) -> None:
    backend = FakeBackend(_darkness, _IMAGE, (TensorSpec("node", "float32", ("n", 1, 8, 16)),))
    with Windows(backend) as network:
        image = _picture(hw=hw)
        said = network.infer({"image": image})["node"]
        assert said.shape == _darkness({"image": image})["node"].shape
        assert np.allclose(said, _darkness({"image": image})["node"], atol=1e-3)
        assert network.inputs[0].shape == ("n", "h", "w", 3)


def test_the_middle_of_a_window_counts_more_than_its_rim() -> None:
    def rim(feed: Mapping[str, Array]) -> dict[str, Array]:
        out = np.zeros((1, 1, 32, 64), np.float32)
        out[..., :2], out[..., -2:] = 100.0, 100.0
        return {"node": out}

    network = Windows(FakeBackend(rim, _IMAGE, (TensorSpec("node", "float32", ("n", 1, 32, 64)),)))
    said = network.infer({"image": _picture(hw=(32, 128))[:1]})["node"]
    assert said[..., 2:-2].max() < 0.1  # other windows have seen these columns in their middle
    assert said[..., 0].min() > 99


def test_windows_that_do_not_fit() -> None:
    free = FakeBackend(_darkness, (TensorSpec("image", "uint8", ("n", "h", "w", 3)),))
    with pytest.raises(OptionError, match="window_hw"):
        Windows(free)
    with pytest.raises(OptionError, match="overlap"):
        Windows(free, (32, 64), overlap=1.0)
    with pytest.raises(OptionError, match="16 px or more"):
        Windows(free, (8, 64))
    with pytest.raises(OptionError, match="too high"):
        Windows(FakeBackend(_brightness, _IMAGE, _TRACE)).infer({"image": _picture(hw=(64, 64))})
    with pytest.raises(OptionError, match="laid together"):
        Windows(FakeBackend(_brightness, _IMAGE, _TRACE)).infer({"image": _picture(hw=(32, 96))})


def test_an_ensemble_of_ensembles_of_views() -> None:
    def brighter(feed: Mapping[str, Array]) -> dict[str, Array]:
        return {name: value + 2 for name, value in _brightness(feed).items()}

    one, other = (FakeBackend(f, _IMAGE, _TRACE) for f in (_brightness, brighter))
    with Ensemble([Views(one, [View(), View(mirrored=True)]), Ensemble([other])], [1, 3]) as network:
        said = network.infer({"image": _picture()})["presence"]
        plain = _brightness({"image": _picture()})["presence"]
        assert np.allclose(_sigmoid(said), 0.25 * _sigmoid(plain) + 0.75 * _sigmoid(plain + 2), atol=1e-5)
        assert (network.name, network.inputs, network.outputs) == ("fake", _IMAGE, _TRACE)
    for backend in (one, other):
        with pytest.raises(BackendError, match="closed"):
            backend.infer({"image": _picture()})


@pytest.mark.parametrize("window", [16, 24, 32, 100])
@pytest.mark.parametrize("side", [16, 40, 104, 203])
def test_windows_leave_no_gap(window: int, side: int) -> None:
    starts = Windows(FakeBackend(_darkness), (window, window), 0.3)._starts(max(side, window), window)
    assert starts[0] == 0 and starts[-1] + window == max(side, window)
    assert all(b - a <= 0.7 * window for a, b in pairwise(starts))


def test_views_of_windows_where_the_picture_is_no_multiple_of_a_cell() -> None:
    backend = FakeBackend(_darkness, _IMAGE, (TensorSpec("node", "float32", ("n", 1, 8, 16)),))
    image = _picture(hw=(53, 90))
    said = Views(Windows(backend), [View(4, -8)]).infer({"image": image})["node"]
    assert np.allclose(said[..., 3:-3, 3:-3], _darkness({"image": image})["node"][..., 3:-3, 3:-3], atol=1e-3)


def test_networks_of_two_stages_cannot_vote() -> None:
    with pytest.raises(OptionError, match="cannot vote together"):
        Ensemble([FakeBackend(_brightness, _IMAGE, _TRACE), FakeBackend(_darkness, _IMAGE, _TRACE[:1])])


class _FarAway:
    """A picture that lies on a device."""

    def __init__(self, image: Array) -> None:
        self.image = image


class _Fetching:
    def download(self, *arrays: _FarAway) -> tuple[Array, ...]:
        return tuple(array.image for array in arrays)


def test_pictures_are_fetched_from_where_they_lie() -> None:
    network = Views(FakeBackend(_brightness), [View(mirrored=True)], ops=_Fetching())  # type: ignore[arg-type]
    said = network.infer({"image": _FarAway(_picture())})  # type: ignore[dict-item]
    assert np.allclose(said["ridge"], _brightness({"image": _picture()})["ridge"])
