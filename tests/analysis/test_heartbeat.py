"""Classes of heartbeats: what the network is shown of a beat, and what the shipped one answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pytest

from ecg_trt.analysis.heartbeat import (
    BEFORE,
    CHANNELS,
    CLASSES,
    SAMPLES,
    HeartbeatClassifier,
    beat_inputs,
    rhythm_of,
)
from ecg_trt.backends.fake import FakeBackend
from ecg_trt.backends.select import open_runtime
from ecg_trt.errors import OptionError
from ecg_trt.types import Array, TensorSpec

FS = 360.0
NORMAL = ((-0.17, 0.025, 0.12), (-0.02, 0.008, -0.1), (0.0, 0.012, 1.0), (0.025, 0.009, -0.2), (0.28, 0.05, 0.25))
VENTRICULAR = ((0.0, 0.035, 1.6), (0.09, 0.04, -0.5), (0.3, 0.07, -0.5))
REGULAR = np.arange(0.5, 10, 0.85)


def strip(seconds: Array, ectopic: tuple[int, ...] = (), fs: float = FS) -> Array:
    """Ten seconds of a lead, mV: beats of Gaussians (s, s, mV) at R peaks, some of them ventricular."""
    t, signal = np.arange(0, 10, 1 / fs), np.zeros(round(10 * fs))
    for k, peak in enumerate(seconds):
        for at, width, height in VENTRICULAR if k in ectopic else NORMAL:
            signal += height * np.exp(-0.5 * ((t - peak - at) / width) ** 2)
    return signal


@pytest.fixture(scope="module")
def classifier() -> Iterator[HeartbeatClassifier]:
    with open_runtime("ort", networks=["heartbeat"], threads=1) as runtime:
        yield HeartbeatClassifier(runtime.backend("heartbeat"))


def test_a_beat_is_shown_beside_the_patient_s_own_in_units_of_its_height() -> None:
    seconds = REGULAR.copy()
    seconds[5] -= 0.25
    signal = strip(seconds, (5,))
    inputs, is_shown = beat_inputs(signal, FS, seconds * FS)
    assert inputs.shape == (len(seconds), CHANNELS, SAMPLES) and inputs.dtype == np.float32 and is_shown.all()
    own = inputs[5, 1]
    assert own.argmax() == BEFORE and own.max() == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(own[BEFORE - 30 : BEFORE + 60], inputs[2, 0, BEFORE - 30 : BEFORE + 60], atol=0.1)
    assert inputs[5, 0].max() == pytest.approx(1.6, abs=0.15)
    unlike = inputs[:, 2:4, 0]
    assert unlike[5].min() > 0.7 and np.delete(unlike, 5, 0).max() < 0.15
    louder, _ = beat_inputs(3 * signal + 0.4, FS, seconds * FS)
    np.testing.assert_allclose(louder, inputs, atol=1e-4)
    one, _ = beat_inputs(signal, FS, seconds * FS, np.array([5]))
    np.testing.assert_array_equal(one, inputs[5:6])


def test_the_rate_of_the_signal_changes_little() -> None:
    slow, fast = (beat_inputs(strip(REGULAR, (4,), fs), fs, REGULAR * fs)[0] for fs in (250.0, 500.0))
    np.testing.assert_allclose(slow, fast, atol=0.08)


def test_an_early_beat_has_a_short_interval_before_it_and_a_long_one_after() -> None:
    seconds = REGULAR.copy()
    seconds[5] -= 0.85 / 2
    rhythm = rhythm_of(seconds, np.arange(len(seconds)))
    before, after = rhythm[5, 1:3]
    assert before == pytest.approx(np.log(0.5), abs=1e-3) and after == pytest.approx(np.log(1.5), abs=1e-3)
    assert (rhythm[0, :2] == 0).all() and (rhythm[-1, 2:4] == 0).all(), "no beat before the first, or after the last"
    assert not rhythm_of(seconds[:1], np.arange(1)).any()
    steady = rhythm_of(REGULAR, np.arange(len(REGULAR)))
    np.testing.assert_allclose(steady, 0, atol=1e-6)


def test_pauses_are_no_fibrillation() -> None:
    """In a run of early beats the patient's own interval is that of the few beats beside it."""
    paused = np.cumsum([0.7] * 8 + [1.4] * 4 + [0.7] * 5)
    rhythm = rhythm_of(paused, np.arange(len(paused)))
    assert rhythm[4, 1] == pytest.approx(np.log(0.5), abs=1e-3) and rhythm[10, 1] == pytest.approx(0, abs=1e-3)
    assert rhythm[:, -1] == pytest.approx(0, abs=1e-6)
    irregular = np.cumsum(np.random.default_rng(0).uniform(0.4, 1.1, 18))
    assert rhythm_of(irregular, np.arange(18))[:, -1].min() > 0.15


def test_a_beat_that_is_not_printed_gives_the_rhythm_alone() -> None:
    signal = strip(REGULAR)
    signal[: round(2.5 * FS)] = np.nan
    inputs, is_shown = beat_inputs(signal, FS, REGULAR * FS)
    hidden = REGULAR < 2.5
    np.testing.assert_array_equal(is_shown, ~hidden)
    assert np.isfinite(inputs).all() and not inputs[hidden, :4].any()
    np.testing.assert_allclose(inputs[:, 4:, 0], rhythm_of(REGULAR, np.arange(len(REGULAR))), atol=1e-6)
    asked: list[Array] = []

    def answer(feed: Mapping[str, Array]) -> dict[str, Array]:
        asked.append(feed["beat"])
        return {"beat_class": np.tile(np.arange(5, dtype=np.float32), (len(feed["beat"]), 1))}

    classifier = HeartbeatClassifier(FakeBackend(answer, (TensorSpec("beat", "float32", (4, CHANNELS, SAMPLES)),)))
    probabilities = classifier(signal, FS, REGULAR * FS)
    assert [len(batch) for batch in asked] == [4] * int(np.ceil((~hidden).sum() / 4)), "plans have a fixed batch"
    assert np.isnan(probabilities[hidden]).all()
    expected = np.exp(np.arange(5)) / np.exp(np.arange(5)).sum()
    np.testing.assert_allclose(probabilities[~hidden], np.tile(expected, ((~hidden).sum(), 1)), rtol=1e-5)
    assert np.isnan(classifier(np.full(1000, np.nan), FS, np.array([200.0, 500.0]))).all()
    assert classifier(signal, FS, np.zeros(0)).shape == (0, len(CLASSES))


@pytest.mark.parametrize(
    ("signal", "peaks", "fs"),
    [(np.zeros((2, 50)), [3], 100.0), (np.zeros(50), [3, 3], 100.0), (np.zeros(50), [7, 3], 100.0),
     (np.zeros(50), [50], 100.0), (np.zeros(50), [-1], 100.0), (np.zeros(50), [3], 0.0)],
)  # fmt: skip
def test_what_is_no_lead_or_no_beats_is_refused(signal: Array, peaks: list[int], fs: float) -> None:
    with pytest.raises(OptionError, match="Heartbeats cannot be classified"):
        HeartbeatClassifier(FakeBackend(lambda feed: {}))(signal, fs, np.array(peaks))


def test_the_shipped_network_knows_a_normal_and_a_ventricular_beat(classifier: HeartbeatClassifier) -> None:
    seconds = REGULAR.copy()
    seconds[[3, 8]] -= 0.3
    probabilities = classifier(strip(seconds, (3, 8)), FS, seconds * FS)
    found = [classifier.classes[k] for k in probabilities.argmax(1)]
    assert [k for k, name in enumerate(found) if name == "V"] == [3, 8]
    assert set(found) == {"N", "V"}


def test_the_shipped_network_knows_an_early_narrow_beat(classifier: HeartbeatClassifier) -> None:
    seconds = REGULAR.copy()
    seconds[6] -= 0.35
    found = classifier(strip(seconds), FS, seconds * FS).argmax(1)
    assert np.flatnonzero(found == CLASSES.index("S")).tolist() == [6]


def test_steady_rhythm_is_normal_on_a_short_column(classifier: HeartbeatClassifier) -> None:
    signal = strip(REGULAR)
    signal[round(2.5 * FS) :] = np.nan
    probabilities = classifier(signal, FS, REGULAR * FS)
    shown = np.isfinite(probabilities[:, 0])
    assert shown.sum() == 3 and (probabilities[shown].argmax(1) == CLASSES.index("N")).all()
