"""Classes of beats and maps of the heart as parts of an analysis, with the shipped networks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from ecg_trt.analysis import PARTS, Analysis, Analyzer, OmissionReason, analyzer
from ecg_trt.backends.select import open_runtime
from ecg_trt.config import RuntimeOptions
from ecg_trt.io.writers.analysis import analysis_as_dict
from ecg_trt.layout import LEADS
from ecg_trt.record import EcgRecord
from ecg_trt.types import Array

from .known import bumps, known, printed, record_of

ECTOPIC = (4, 9)
R_S = np.arange(0.6, 9.8, 0.8)
NORMAL = ((-0.17, 0.025, 0.12), (-0.02, 0.008, -0.1), (0.0, 0.012, 1.0), (0.025, 0.009, -0.2), (0.28, 0.05, 0.25))
VENTRICULAR = ((0.0, 0.035, 1.6), (0.09, 0.04, -0.5), (0.3, 0.07, -0.5))


def with_ectopic_beats() -> Array:
    """Twelve leads of 10 s in which two beats come early, broad and high."""
    at = R_S.copy()
    at[list(ECTOPIC)] -= 0.25
    is_ectopic = np.isin(np.arange(len(at)), ECTOPIC)
    waves = [bumps(at[is_ectopic == kind] + when, height, sd)
             for kind, form in ((False, NORMAL), (True, VENTRICULAR)) for when, sd, height in form]  # fmt: skip
    gains = np.array([0.7, 1, 0.4, -0.8, 0.3, 0.7, -0.5, -0.3, 0.5, 1.1, 1.2, 0.9])
    return np.asarray(gains[:, None] * np.sum(waves, axis=0), np.float32)


@pytest.fixture(scope="module")
def analyze() -> Iterator[Analyzer]:
    with Analyzer(PARTS, RuntimeOptions(backend="ort", threads=1)) as opened:
        yield opened


@pytest.fixture(scope="module")
def sinus() -> EcgRecord:
    return record_of(known(21, rate=70, noise=0.3).signal_mv)


def reason_of(found: Analysis, name: str) -> OmissionReason:
    return next(omission.reason for omission in found.omissions if omission.name == name)


def classes_of(found: Analysis) -> tuple[str, ...]:
    assert found.classes is not None
    return found.classes.names


@pytest.mark.parametrize("page", [False, True], ids=["twelve leads of 10 s", "3x4+1"])
def test_early_broad_beats_are_ventricular(analyze: Analyzer, page: bool) -> None:
    signal = with_ectopic_beats()
    found = analyze(record_of(printed(signal) if page else signal))
    assert found.classes is not None and found.classes.lead == "II"
    assert len(found.beats.r_s) == len(R_S)
    assert [k for k, name in enumerate(found.classes.names) if name == "V"] == list(ECTOPIC)
    assert found.classes.names.count("N") == len(R_S) - 2
    count, share = found["class_v"], found["class_v_share"]
    assert (count.value, count.unit, share.unit) == (2, "beats", "%")
    assert share.value == pytest.approx(100 * 2 / len(R_S))
    assert count.leads == ("II",) and count.beats == tuple(range(len(R_S))) and 0.6 < count.confidence <= 1
    assert sum(found[f"class_{name}"].value for name in "nsvfq") == len(R_S)
    assert "S is not reliable" in found.classes.notes[0]


def test_a_beat_is_judged_on_the_lead_that_shows_it(analyze: Analyzer) -> None:
    """A 3x4 page without a rhythm strip shows II for 2.5 s, and no two columns on one clock."""
    found = analyze(record_of(printed(with_ectopic_beats(), rhythm=None)))
    assert found.classes is not None and found.classes.lead == "II"
    shown = found.beats.r_s < 2.4
    assert [bool(name) for name in found.classes.names] == shown.tolist()
    assert found["class_n"].beats == tuple(np.flatnonzero(shown))
    assert reason_of(found, "activation") is reason_of(found, "potentials") is OmissionReason.PRINTED_APART
    assert found.heart is not None and found.heart.heart_map is None


def test_without_ii_another_lead_is_named(analyze: Analyzer) -> None:
    signal = printed(with_ectopic_beats(), rhythm=6)
    signal[1] = np.nan
    quality = np.where(np.arange(12) == 1, np.nan, 1).astype(np.float32)
    found = analyze(record_of(signal, quality=quality))
    assert found.classes is not None and found.classes.lead == "V1"
    assert any("learnt lead II, and this is V1" in note for note in found.classes.notes)
    assert all(found.classes.names)


def test_the_lead_that_mit_bih_calls_mlii_is_ii(analyze: Analyzer) -> None:
    found = analyze(record_of(with_ectopic_beats()[[6, 1]], lead_names=("V1", "MLII")))
    assert found.classes is not None and found.classes.lead == "MLII" and len(found.classes.notes) == 1
    assert [k for k, name in enumerate(found.classes.names) if name == "V"] == list(ECTOPIC)


def test_a_poor_lead_is_not_used(analyze: Analyzer) -> None:
    poor = np.where(np.arange(12) == 1, 0.2, 0.9).astype(np.float32)
    found = analyze(record_of(with_ectopic_beats(), quality=poor))
    assert found.classes is not None and found.classes.lead == "I"
    assert [k for k, name in enumerate(found.classes.names) if name == "V"] == list(ECTOPIC)
    found = analyze(record_of(with_ectopic_beats(), quality=np.full(12, 0.3, np.float32)))
    assert reason_of(found, "classes") is OmissionReason.LOW_QUALITY
    assert not any(classes_of(found)) and len(classes_of(found)) == len(R_S)


def test_a_slow_record_has_a_rate_alone(analyze: Analyzer) -> None:
    """At 75 samples a second neither the form of beats nor the onset of QRS is known."""
    signal = with_ectopic_beats()
    at = np.arange(750) / 75
    slow = np.stack([np.interp(at, np.arange(signal.shape[1]) / 500, lead) for lead in signal]).astype(np.float32)
    found = analyze(record_of(slow, fs=75.0))
    assert found["heart_rate"].value == pytest.approx(75, abs=2)
    for name in ("classes", "qrs_duration", "activation", "potentials"):
        assert reason_of(found, name) is OmissionReason.LOW_SAMPLING_RATE


def test_too_few_beats_have_no_classes(analyze: Analyzer) -> None:
    found = analyze(record_of(with_ectopic_beats()[:, :900]))
    assert reason_of(found, "classes") is OmissionReason.TOO_FEW_BEATS


def test_the_heart_is_mapped_from_the_median_beat(analyze: Analyzer, sinus: EcgRecord) -> None:
    found = analyze(sinus)
    assert found.heart is not None and found.heart.heart_map is not None
    heart_map = found.heart.heart_map
    assert heart_map.leads == LEADS
    assert heart_map.require_potentials().shape == (75, 500)
    figure = found["activation_time"]
    assert figure.value == pytest.approx(np.ptp(heart_map.activation_ms))
    assert 20 < figure.value < 200 and 0 < figure.confidence < 1
    assert figure.beats == tuple(np.flatnonzero(found.beats.median.is_typical))
    lifted = replace(sinus, signal_mv=sinus.signal_mv + np.float32(0.3))
    again = analyze(lifted).heart
    assert again is not None and again.heart_map is not None
    np.testing.assert_allclose(again.heart_map.activation_ms, heart_map.activation_ms, atol=2)


def test_a_map_rests_on_the_good_leads_and_needs_eight(analyze: Analyzer, sinus: EcgRecord) -> None:
    nine = np.where(np.isin(np.arange(12), (3, 7, 10)), 0.1, 0.9).astype(np.float32)
    found = analyze(replace(sinus, quality=nine))
    assert found["activation_time"].leads == tuple(lead for k, lead in enumerate(LEADS) if k not in (3, 7, 10))
    seven = np.where(np.arange(12) < 5, 0.1, 0.9).astype(np.float32)
    found = analyze(replace(sinus, quality=seven))
    assert reason_of(found, "activation") is OmissionReason.LOW_QUALITY
    text = next(omission.text for omission in found.omissions if omission.name == "activation")
    assert "7 of the twelve leads" in text and "5 low-quality" in text
    few = replace(sinus, signal_mv=sinus.signal_mv[:6], lead_names=LEADS[:6], quality=sinus.quality[:6])
    assert reason_of(analyze(few), "activation") is OmissionReason.TOO_FEW_LEADS


def count_opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """List the networks of each runtime that is opened from now on."""
    opened: list[tuple[str, ...]] = []

    def counted(name: str, *, networks: tuple[str, ...], threads: int) -> object:
        opened.append(networks)
        return open_runtime(name, networks=networks, threads=threads)

    monkeypatch.setattr(analyzer, "open_runtime", counted)
    return opened


def test_networks_are_opened_where_they_are_needed_and_once(sinus: EcgRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = count_opened(monkeypatch)
    with Analyzer(("beats", "intervals")) as without:
        found = without(sinus)
    assert not opened and found.backend == "" and not found.weights
    with Analyzer(("classes",), RuntimeOptions(backend="ort", threads=1)) as classifier:
        for _ in range(3):
            found = classifier(sinus)
    assert opened == [("heartbeat",)]
    assert (found.backend, set(found.weights)) == ("ort", {"heartbeat"})
    assert found.intervals is None and found.heart is None and found.classes is not None
    assert set(found.timings_ms) == {"beats", "classes"}


@pytest.mark.parametrize(("part", "networks"), [("activation", ("activation",)),
                                                ("potentials", ("activation", "potentials"))])  # fmt: skip
def test_potentials_are_computed_where_they_are_asked_for(
    sinus: EcgRecord, monkeypatch: pytest.MonkeyPatch, part: str, networks: tuple[str, ...]
) -> None:
    opened = count_opened(monkeypatch)
    with Analyzer((part,), RuntimeOptions(backend="ort", threads=1)) as mapping:
        found = mapping(sinus)
    assert opened == [networks] and set(found.weights) == set(networks)
    assert found.heart is not None and found.heart.heart_map is not None and found.heart.confidence > 0
    assert (found.heart.heart_map.potentials_mv is not None) is ("potentials" in networks)
    assert {"activation", "potentials"} & analysis_as_dict(found).keys() == {part}


def test_open_networks_are_shared_and_left_open(sinus: EcgRecord) -> None:
    with open_runtime("ort", threads=1) as runtime:
        with Analyzer(("beats", "classes"), runtime=runtime) as shared:
            first = shared(sinus)
        with Analyzer(("classes",), runtime=runtime) as shared:
            assert classes_of(shared(sinus)) == classes_of(first)
    assert set(first.weights) == {"heartbeat"}
