"""Words printed on a page, from characters to what they mean."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ecg_trt.printed import CHARACTERS, CLASSES, Line, Quantity, class_of, decoded, lead_in, settings_of, spelled


def _stated(text: str) -> set[tuple[str, float]]:
    return {(str(setting.quantity), setting.value) for setting in settings_of(text)}


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("25 mm/s 1 cm/mV 35 Hz", {("speed", 25.0), ("gain", 10.0)}),
        ("25mm/s 1,0 cm/mV 50Hz", {("speed", 25.0), ("gain", 10.0)}),
        ("50.0 mm/sec  0.5 cm/mV", {("speed", 50.0), ("gain", 5.0)}),
        ("25mm/s 1mV=10mm", {("speed", 25.0), ("gain", 10.0)}),
        ("1 mV = 2 cm", {("gain", 20.0)}),
        ("12.5 mm/s 2,5 mm/mV", {("speed", 12.5), ("gain", 2.5)}),
        ("25mm/s Limb: 10 mm/mV Chest: 5 mm/mV", {("speed", 25.0), ("limb gain", 10.0), ("chest gain", 5.0)}),
        ("10/5mm/mV", {("limb gain", 10.0), ("chest gain", 5.0)}),
        ("6.25MM/SEC 40MM/MV", {("speed", 6.25), ("gain", 40.0)}),
        ("20 mm/m", {("gain", 20.0)}),
        ("25mmm/sec Sens: 20 mmm/m", {("speed", 25.0), ("gain", 20.0)}),
        ("imb: 10 m/mV 25 m/s", {("gain", 10.0), ("speed", 25.0)}),
        ("37 mm/s 7 mm/mV 10 mm/min", set()),
        ("25 Hz 10 mV 0.05-150 Hz 10 s V5 25 mm", set()),
        ("", set()),
    ],
)  # fmt: skip
def test_settings_are_found_in_the_words_of_many_devices(text: str, stated: set[tuple[str, float]]) -> None:
    assert _stated(text) == stated


def test_a_setting_knows_its_characters() -> None:
    (speed,) = settings_of("HR 64 25 mm/s AC")
    assert speed.quantity is Quantity.SPEED and "HR 64 25 mm/s AC"[slice(*speed.span)] == "25 mm/s"


def test_equal_classes_in_a_row_are_one_character_unless_a_gap_parts_them() -> None:
    path = [*class_of("1"), *class_of("1"), 0, *class_of("1"), 0, 0, *class_of("m"), *class_of("V")]
    logits = np.zeros((CLASSES, len(path)))
    logits[path, np.arange(len(path))] = [5, 6, 5, 5, 5, 5, 9, 3]
    text, sure, columns = decoded(logits)
    assert text == "11mV" and columns.tolist() == [1, 3, 6, 7]
    assert sure.argmin() == 3 and sure[2] == pytest.approx(np.exp(9) / (np.exp(9) + CLASSES - 1))
    assert decoded(np.eye(CLASSES)[:, :1])[0] == "", "gaps alone are no text"


def test_all_characters_have_classes_of_their_own() -> None:
    assert class_of(CHARACTERS) == list(range(1, CLASSES)) and len(set(CHARACTERS)) == len(CHARACTERS)


def test_the_forward_algorithm_adds_up_all_paths() -> None:
    rng = np.random.default_rng(3)
    logits = np.full((CLASSES, 4), -50.0)
    two = class_of("V1")
    logits[[0, *two]] = rng.normal(0, 1, (3, 4))
    share = np.exp(logits) / np.exp(logits).sum(0)
    paths = itertools.product([0, *two], repeat=4)
    expected = {"V": 0.0, "V1": 0.0, "VV": 0.0}
    for path in paths:
        kept = [k for k, _ in itertools.groupby(path) if k]
        text = "".join(CHARACTERS[k - 1] for k in kept)
        if text in expected:
            expected[text] += float(np.prod(share[list(path), range(4)]))
    np.testing.assert_allclose(spelled(logits, list(expected)), list(expected.values()), rtol=1e-9)
    assert spelled(logits[:, :0], ["V1"]) == 0.0


def test_a_caption_may_name_its_lead() -> None:
    assert lead_in("25 mm/s, 10 mm/mV, Lead I, 512Hz") == "I"
    assert lead_in("lead V5") == "V5" and lead_in("Leading edge") is None and lead_in("25 mm/s") is None


def test_a_setting_is_judged_among_the_values_that_devices_have() -> None:
    text = "25 mm/s 1,0 cm/mV"
    path = [k for c in class_of(text) for k in (c, 0)]
    logits = np.zeros((CLASSES, len(path)))
    logits[path, np.arange(len(path))] = 8.0
    logits[class_of("5")[0], 0] = 7.0  # the 2 may be a 5
    read, probability, columns = decoded(logits)
    places = 0.25 * np.arange(len(path))
    line = Line(read, probability, places[columns], logits, places)
    speed, gain = settings_of(line.text)
    assert line.probability_of(speed) > 0.9, "no device has 55 mm/s"
    assert line.probability_of(gain) > 0.9
    faint = Line(read, probability, places[columns], 0.3 * logits, places)
    assert faint.probability_of(speed) < 0.2
