"""Records of several photos of one page: what is merged, told, left out and rejected."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ecg_trt
from ecg_trt.errors import DeviceFaultError, DifferentPagesError, LowQualityError, NoEcgFoundError, OptionError
from ecg_trt.layout import LAYOUTS, LEADS
from ecg_trt.merging import merge_answers, merge_records, name_of
from ecg_trt.quality.model import quality_of
from ecg_trt.record import EcgRecord
from ecg_trt.types import Array, LeadSpan, LimbLeadCheck, PageWarning, WarningCode

FS, N = 250.0, 2500


def page(seed: int = 0, lag_s: float = 0.0) -> Array:
    """(12, 2500) mV of a 3x4+1 page: 2.5 s of each lead at its time, 10 s of lead II."""
    rng = np.random.default_rng(seed)
    t = np.arange(N) / FS - lag_s
    beats = np.cumsum(rng.uniform(0.6, 1.0, 20))
    out = np.full((12, N), np.nan)
    waves = ((0.0, 0.015), (0.05, 0.02), (0.25, 0.06))
    heights = rng.uniform(0.4, 1.0, (len(LEADS), len(waves))) * rng.choice([-1.0, 1.0], (len(LEADS), len(waves)))
    shapes = [np.exp(-0.5 * ((t[:, None] - beats - at) / width) ** 2).sum(1) for at, width in waves]
    lines = heights @ np.array(shapes)
    for row in range(4):
        for lead, start, end in LAYOUTS["3x4+1"].spans(row):
            span = slice(round(start * FS), round(end * FS))
            out[LEADS.index(lead), span] = lines[LEADS.index(lead), span]
    return out


def photo(name: str, noise_mv: float = 0.03, *, seed: int = 0, lag_s: float = 0.0, snr_db: float = 20.0,
          **changes: Any) -> EcgRecord:  # fmt: skip
    signal = page(seed, lag_s) + noise_mv * np.random.default_rng(ord(name[0])).standard_normal((12, N))
    db = np.full(12, snr_db, np.float32)
    record = EcgRecord(
        signal_mv=signal.astype(np.float32), fs=FS, lead_names=LEADS, layout="3x4+1", paper_speed_mm_per_s=25.0,
        gain_mm_per_mv=10.0, quality=quality_of(db).astype(np.float32), snr_db=db, timings_ms={"trace": 2.0},
        backend="fake", source=name,
    )  # fmt: skip
    return replace(record, **changes)


def error_mv(record: EcgRecord) -> float:
    off = record.signal_mv - page()
    return float(np.sqrt(np.nanmean((off - np.nanmean(off, 1, keepdims=True)) ** 2)))


def codes(record: EcgRecord) -> list[WarningCode]:
    return [warning.code for warning in record.warnings]


def test_one_photo_is_unchanged() -> None:
    record = photo("a.jpg")
    assert merge_records([record]) is record
    assert merge_answers(["a.jpg"], [record]) is record


def test_three_photos_are_better_than_the_best() -> None:
    photos = [photo("a.jpg"), photo("b.jpg", lag_s=0.013), photo("c.jpg", 0.04, snr_db=17.0)]
    merged = merge_records(photos)
    assert error_mv(merged) < 0.8 * min(error_mv(photos[0]), error_mv(photos[2]))
    assert merged.source == "a.jpg" and merged.timings_ms == {"trace": 6.0} and merged.lead_names == LEADS
    assert [p.source for p in merged.photos] == ["a.jpg", "b.jpg", "c.jpg"]
    np.testing.assert_allclose(sum(p.weight for p in merged.photos), 1.0)
    assert (merged.photos[2].weight < merged.photos[0].weight).mean() > 0.8
    np.testing.assert_allclose(merged.photos[1].lag_s - merged.photos[0].lag_s, 0.013, atol=0.001)
    assert not merged.warnings
    assert (merged.snr_db > 17).all()


def test_what_was_corrected_of_any_photo_is_kept_and_places_in_photos_are_not() -> None:
    place: dict[str, Any] = {"outline_px": ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0)), "px_per_mm": 7.0}
    photos = [replace(photo(f"{k}.jpg"), corrected=what, **place) for k, what in enumerate([("gain",), ("V1", "gain")])]
    merged = merge_records(photos)
    assert merged.corrected == ("gain", "V1")
    assert (merged.outline_px, merged.px_per_mm) == ((), None)


def test_a_wrong_lead_is_outvoted_and_told() -> None:
    photos = [photo(name) for name in ("a.jpg", "b.jpg", "c.jpg")]
    photos[1].signal_mv[7] = page(seed=3)[7]
    merged = merge_records(photos)
    assert merged.photos[1].weight[7] < 0.05
    (warning,) = merged.warnings
    assert warning.code == WarningCode.PHOTOS_DISAGREE
    assert "V2 (b.jpg)" in warning.text and "V3" not in warning.text
    assert error_mv(merged) < 0.03


def test_of_two_that_disagree_the_better_counts_and_the_quality_falls() -> None:
    photos = [photo("a.jpg", snr_db=18.0), photo("b.jpg", snr_db=22.0)]
    photos[1].signal_mv[7] = page(seed=3)[7]
    merged = merge_records(photos)
    assert merged.photos[1].weight[7] > 0.5
    assert merged.snr_db[7] < merged.snr_db[8] - 6
    assert merged.quality[7] < 0.8 < merged.quality[8]
    assert WarningCode.PHOTOS_DISAGREE in codes(merged)


def test_gaps_are_filled_and_what_none_shows_is_told() -> None:
    photos = [photo("a.jpg"), photo("b.jpg")]
    photos[0].signal_mv[1, :1000], photos[1].signal_mv[1, 2000:] = np.nan, np.nan
    for record in photos:
        record.signal_mv[11, 2200:] = np.nan
        record.signal_mv[9] = np.nan
    merged = merge_records(photos)
    assert np.isfinite(merged.signal_mv[1]).all()
    assert np.isnan(merged.signal_mv[11, 2205:]).all() and np.isnan(merged.signal_mv[9]).all()
    texts = {warning.code: warning.text for warning in merged.warnings}
    assert "48 % of V6" in texts[WarningCode.PARTLY_MISSING] and "II" not in texts[WarningCode.PARTLY_MISSING]
    assert "V4" in texts[WarningCode.LEADS_MISSING]
    assert merged.snr_db[9] == 0 and merged.snr_db[11] < 5 < merged.snr_db[1]


def test_another_page_among_three_is_left_out() -> None:
    merged = merge_records([photo("a.jpg"), photo("x.jpg", seed=5), photo("c.jpg")])
    assert merged.photos[1].left_out and np.isnan(merged.photos[1].weight).all()
    assert codes(merged) == [WarningCode.PHOTO_LEFT_OUT] and "x.jpg" in merged.warnings[0].text
    assert error_mv(merged) < 0.03


def test_a_photo_that_is_left_out_decides_nothing() -> None:
    """Whatever it was read as, and however well: leads, length, scales and corrections are those of the others."""
    stray = photo("x.jpg", seed=5, snr_db=30.0, layout="strips", lead_names=("I", "II", "III"), corrected=("gain",),
                  paper_speed_mm_per_s=50.0)  # fmt: skip
    short = {name: getattr(stray, name)[:3] for name in ("quality", "snr_db")}
    stray = replace(stray, signal_mv=stray.signal_mv[:3, :1000], **short)
    others = [photo(name, layout_probability=0.3) for name in ("a.jpg", "c.jpg")]
    merged = merge_records([others[0], stray, others[1]])
    assert (merged.layout, merged.lead_names, merged.signal_mv.shape) == ("3x4+1", LEADS, (12, N))
    assert (merged.paper_speed_mm_per_s, merged.corrected) == (25.0, ())
    assert codes(merged) == [WarningCode.PHOTO_LEFT_OUT] and "x.jpg" in merged.warnings[0].text
    assert error_mv(merged) < 0.03


def test_different_pages_are_rejected() -> None:
    with pytest.raises(DifferentPagesError, match=r"other curves in x\.jpg than in a\.jpg"):
        merge_records([photo("a.jpg"), photo("x.jpg", seed=5)])
    with pytest.raises(DifferentPagesError):
        merge_records([photo(name, seed=seed) for seed, name in enumerate(("a.jpg", "b.jpg", "c.jpg"))])


def test_a_page_without_common_leads_is_another_page() -> None:
    strips = photo("x.jpg", layout="strips", lead_names=tuple(f"strip{k + 1}" for k in range(12)))
    with pytest.raises(DifferentPagesError):
        merge_records([photo("a.jpg"), strips])


def test_a_photo_that_was_read_badly_gives_way() -> None:
    good = photo("a.jpg")
    merged = merge_records([photo("x.jpg", seed=5, snr_db=0.0), good])
    assert codes(merged) == [WarningCode.PHOTO_LEFT_OUT]
    np.testing.assert_allclose(merged.signal_mv, good.signal_mv, rtol=1e-6)
    np.testing.assert_array_equal(merged.snr_db, good.snr_db)


def test_scales_that_contradict_are_told_and_mended() -> None:
    wrong = photo("b.jpg", gain_mm_per_mv=20.0, assumed=("gain",))
    wrong = replace(wrong, signal_mv=wrong.signal_mv / 2)
    fast = photo("c.jpg", paper_speed_mm_per_s=50.0, assumed=("speed",))
    half = np.full((12, N), np.nan, np.float32)
    half[:, : N // 2] = fast.signal_mv[:, ::2]
    merged = merge_records([photo("a.jpg"), wrong, replace(fast, signal_mv=half)])
    assert (merged.gain_mm_per_mv, merged.paper_speed_mm_per_s, merged.assumed) == (10.0, 25.0, ())
    assert codes(merged) == [WarningCode.SPEED_DISPUTED, WarningCode.GAIN_DISPUTED]
    assert min(np.nanmean(p.weight) for p in merged.photos) > 0.1
    assert error_mv(merged) < 0.03


def test_curves_that_agree_as_they_are_are_not_stretched() -> None:
    """Where the millimetre was misread by the factor of the speed, times are right."""
    scales: dict[str, Any] = {"paper_speed_mm_per_s": 50.0, "gain_mm_per_mv": 20.0}
    merged = merge_records([photo("a.jpg"), photo("b.jpg"), photo("c.jpg", **scales)])
    assert merged.paper_speed_mm_per_s == 25.0 and WarningCode.SPEED_DISPUTED in codes(merged)
    assert min(np.nanmean(p.weight) for p in merged.photos) > 0.2 and error_mv(merged) < 0.03


@pytest.mark.parametrize(("is_misread", "factor"), [(True, 0.5), (False, 1.0)])
def test_times_of_the_record_are_those_of_its_samples(is_misread: bool, factor: float) -> None:
    """The photo that gives the spans was read at another speed; it is stretched if its curves agree better so."""
    span, check = LeadSpan("II", 3, 0.0, 10.0), LimbLeadCheck(2.5, 5.0, ("aVR", "aVL", "aVF"), 0.1, True)
    best = photo("a.jpg", snr_db=30.0, spans=(span,), limb_leads=(check,), assumed=("speed",))
    others = [photo(f"{name}.jpg", paper_speed_mm_per_s=50.0) for name in "bc"]
    if is_misread:
        others = [replace(one, signal_mv=one.signal_mv[:, ::2]) for one in others]
    merged = merge_records([best, *others])
    assert merged.paper_speed_mm_per_s == 50.0 and not any(part.left_out for part in merged.photos)
    assert merged.signal_mv.shape == (12, N * factor)
    assert merged.spans == (replace(span, end_s=10.0 * factor),)
    assert merged.limb_leads == (replace(check, start_s=2.5 * factor, end_s=5.0 * factor),)


def test_warnings_of_most_of_the_weight_are_kept() -> None:
    inverted = (PageWarning(WarningCode.AVR_INVERTED, "The page prints -aVR."),)
    alone = (PageWarning(WarningCode.LOW_RESOLUTION, "Small."), PageWarning(WarningCode.LEADS_MISSING, "V1."))
    photos = [photo("a.jpg", warnings=inverted), photo("b.jpg", warnings=inverted), photo("c.jpg", warnings=alone)]
    assert codes(merge_records(photos)) == [WarningCode.AVR_INVERTED]


def test_photos_that_cannot_be_read_are_left_out() -> None:
    error = NoEcgFoundError("No ECG", got="a cat", expected="an ECG", hint="Show it.")
    merged = merge_answers(["a.jpg", "cat.jpg", "b.jpg"], [photo("a.jpg"), error, photo("b.jpg")])
    assert codes(merged) == [WarningCode.PHOTO_LEFT_OUT] and "cat.jpg" in merged.warnings[0].text
    assert [p.source for p in merged.photos] == ["a.jpg", "b.jpg", "cat.jpg"]
    assert "a cat" in merged.photos[2].left_out
    single = merge_answers(["a.jpg", "cat.jpg"], [photo("a.jpg"), error])
    assert [np.nanmean(p.weight) for p in single.photos[:1]] == [1.0] and codes(single) == codes(merged)
    with pytest.raises(NoEcgFoundError, match="a cat"):
        merge_answers(["cat.jpg", "dog.jpg"], [error, NoEcgFoundError("No", got="a dog", expected="", hint="")])
    with pytest.raises(DeviceFaultError):
        merge_answers(["a.jpg", "b.jpg"], [photo("a.jpg"), DeviceFaultError("GPU", got="", expected="", hint="")])


def test_the_merged_quality_is_what_is_asked_for() -> None:
    poor = [photo("a.jpg", 0.15, snr_db=5.0), photo("b.jpg", 0.15, snr_db=5.0)]
    with pytest.raises(LowQualityError):
        merge_answers(["a.jpg", "b.jpg"], poor, min_quality=0.9)


def test_nothing_to_merge() -> None:
    for call in (lambda: merge_records([]), lambda: merge_answers([], [])):
        with pytest.raises(OptionError, match="No photo"):
            call()
    with pytest.raises(OptionError, match="one sampling rate"):
        merge_records([photo("a.jpg"), photo("b.jpg", fs=500.0)])


def test_json_lists_the_photos(tmp_path) -> None:
    merged = merge_records([photo("a.jpg"), photo("x.jpg", seed=5), photo("c.jpg", lag_s=0.01)])
    document = json.loads(merged.to_json(tmp_path / "a.json").read_text("utf-8"))
    a, x, c = document["photos"]
    assert (a["source"], a["left_out"]) == ("a.jpg", "") and a["weight"]["V1"] + c["weight"]["V1"] == pytest.approx(1)
    assert x["left_out"] and x["weight"]["V1"] is None
    assert c["lag_ms"]["V1"] - a["lag_ms"]["V1"] == pytest.approx(10, abs=1)
    assert "photos" not in json.loads(photo("a.jpg").to_json(tmp_path / "b.json").read_text("utf-8"))


def test_names() -> None:
    assert name_of("a.jpg") == "a.jpg" and name_of(np.zeros(3)) == "<ndarray>" and name_of(b"abc") == "<bytes>"


def test_digitize_takes_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    from ecg_trt import digitizer

    class Fake(digitizer.Digitizer):
        def __init__(self, runtime_options: object, options: object) -> None:
            self.options = ecg_trt.ReadOptions(min_quality=0.5)

        def __call__(self, source: Any, options: Any = None, *, page: Any = None) -> EcgRecord:
            assert options.min_quality == 0
            return photo(source)

        def close(self) -> None:
            pass

    monkeypatch.setattr(digitizer, "Digitizer", Fake)
    assert len(ecg_trt.digitize(["a.jpg", "b.jpg"]).photos) == 2
    assert len(ecg_trt.digitize(("a.jpg", "b.jpg", "c.jpg")).photos) == 3


def test_a_batch_merges_its_groups(fake_digitizer, tools, tmp_path) -> None:
    from ecg_trt.batch import DigitizerPool, digitize_many, read_many

    blank = np.full((500, 700, 3), 200, np.uint8)
    groups: list[Any] = [
        [tools.picture(), blank, tools.picture(seed=1)],
        tools.picture(),
        (tools.picture(),),
        [blank, blank],
    ]
    merged, single, alone, none = digitize_many([*groups], ecg_trt.ReadOptions(fs=250))
    assert isinstance(merged, EcgRecord) and [bool(p.left_out) for p in merged.photos] == [False, False, True]
    assert WarningCode.PHOTO_LEFT_OUT in codes(merged)
    assert isinstance(single, EcgRecord) and isinstance(alone, EcgRecord) and not single.photos and not alone.photos
    assert isinstance(none, NoEcgFoundError)
    (strict,) = digitize_many([groups[0]], ecg_trt.ReadOptions(min_quality=0.99))
    assert isinstance(strict, LowQualityError)
    with pytest.raises(OptionError, match="together"):
        next(read_many([[blank]]))  # type: ignore[list-item]
    with pytest.raises(OptionError, match="together"):
        next(digitize_many([[]]))
    with DigitizerPool(digitizer=FakeMerger()) as pool:  # type: ignore[arg-type]
        assert pool.submit(["a", "b"]).result() == 2  # type: ignore[comparison-overlap]


class FakeMerger:
    """A digitizer that counts the photos that it merges."""

    options = ecg_trt.ReadOptions()

    def with_replicas(self) -> tuple[FakeMerger, ...]:
        return (self,)

    def merge(self, sources: list[str], _options: object) -> int:
        return len(sources)


def test_the_command_merges(fake_digitizer, tools, tmp_path) -> None:
    from click.testing import CliRunner

    from ecg_trt.cli import main

    paths = [tmp_path / f"{name}.png" for name in "bac"]
    for path, image in zip(
        paths, (tools.picture(), np.full((500, 700, 3), 200, np.uint8), tools.picture()), strict=True
    ):
        path.write_bytes(tools.encode(image))
    result = CliRunner().invoke(main, ["run", "--merge", *map(str, paths), "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b.csv", "b.json"]
    assert len(result.stdout.splitlines()) == 1 and "a.png was left out" in result.stderr
    photos = json.loads((tmp_path / "out" / "b.json").read_text("utf-8"))["photos"]
    assert [(p["source"], p["weight"]["I"], p["lag_ms"]["I"]) for p in photos[:2]] == [
        (paths[0].name, 0.5, 0.0), (paths[2].name, 0.5, 0.0)]  # fmt: skip
    assert photos[2]["source"] == paths[1].name and photos[2]["left_out"]
    failed = CliRunner().invoke(main, ["run", "--merge", str(paths[1]), str(paths[1]), "-o", str(tmp_path / "out")])
    assert failed.exit_code == 2 and "a uniform picture" in failed.stderr
    assert CliRunner().invoke(main, ["run", "--merge", "--overlay", str(paths[0])]).exit_code == 2
