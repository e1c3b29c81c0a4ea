"""JPEG markers, of files that Pillow wrote and of broken ones."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ecg_trt.io.readers import jpeg as under_test
from ecg_trt.io.readers.jpeg import Component, read_markers, with_orientation


def jpeg(mode: str = "RGB", **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    made[0x010F] = "a camera"
    return made


def test_baseline() -> None:
    markers = read_markers(jpeg())
    assert markers is not None
    assert (markers.process, markers.bits, markers.scans, markers.whole) == (0, 8, 1, True)
    assert markers.components == (Component(1, 2, 2), Component(2, 1, 1), Component(3, 1, 1))
    assert markers.adobe_transform is None


@pytest.mark.parametrize(
    ("options", "process", "components", "adobe"),
    [
        ({"progressive": True}, 2, 3, None),
        ({"mode": "L"}, 0, 1, None),
        ({"mode": "CMYK"}, 0, 4, 0),
        ({"keep_rgb": True}, 0, 3, 0),
        ({"restart_marker_blocks": 1}, 0, 3, None),
    ],
)
def test_kinds(options: dict[str, object], process: int, components: int, adobe: int | None) -> None:
    markers = read_markers(jpeg(**options))  # type: ignore[arg-type]
    assert markers is not None
    assert (markers.process, len(markers.components), markers.adobe_transform) == (process, components, adobe)
    assert markers.whole
    assert (markers.scans > 1) == (process == 2)


def test_whole_means_up_to_the_end_marker() -> None:
    data = jpeg()
    for length in range(len(data)):
        markers = read_markers(data[:length])
        assert markers is None or not markers.whole
    for extra in (b"\0" * 5, data, b"\xff\xd8\xff"):
        markers = read_markers(data + extra)
        assert markers is not None
        assert markers.whole
    markers = read_markers(data[:-2] + b"\xff\xff\xff\xd9")  # fill bytes
    assert markers is not None
    assert markers.whole


KINDS: list[dict[str, object]] = [
    {}, {"progressive": True}, {"mode": "L"}, {"mode": "CMYK"}, {"keep_rgb": True}, {"restart_marker_blocks": 1},
]  # fmt: skip


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_the_short_way_says_what_the_long_way_says(options: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whole files, of files with a tail, and of files cut anywhere."""
    data = jpeg(**options)  # type: ignore[arg-type]
    files = [data[:length] for length in range(len(data))]
    files += [data + b"\0" * 5, data + data, data + data[: len(data) // 2]]
    short = [read_markers(file) for file in files]
    monkeypatch.setattr(under_test, "_holds_all", lambda *_: False)
    assert short == [read_markers(file) for file in files]


def test_the_scan_of_a_usual_photo_is_not_walked_over(monkeypatch: pytest.MonkeyPatch) -> None:
    class NotHere:
        def search(self, *_: object) -> None:
            raise AssertionError

    monkeypatch.setattr(under_test, "_AFTER_SCAN", NotHere())
    for options in ({}, {"mode": "L"}, {"restart_marker_blocks": 1}):
        assert read_markers(jpeg(**options)) == read_markers(jpeg(**options) + b"\0" * 999)  # type: ignore[arg-type]
    for data in (jpeg(progressive=True), jpeg()[:-2], jpeg() + b"\0" * 70_000):
        with pytest.raises(AssertionError):
            read_markers(data)


def test_an_end_far_from_the_end_of_the_file_is_found() -> None:
    """As in photos of telephones that have a film behind them."""
    markers = read_markers(jpeg() + b"\0" * 70_000)
    assert markers == read_markers(jpeg())


@given(st.binary(max_size=200), st.integers(0, 400))
def test_no_bytes_can_upset_it(noise: bytes, at: int) -> None:
    data = jpeg()
    read_markers(noise)
    read_markers(b"\xff\xd8" + noise)
    read_markers(data[:at] + noise + data[at + len(noise) :])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_only_the_orientation_is_left_of_the_exif(orientation: int) -> None:
    data = jpeg(exif=exif(3), xmp=b'<x tiff:Orientation="8"/>', icc_profile=b"profile")
    made = with_orientation(data, orientation)
    with Image.open(BytesIO(made)) as after, Image.open(BytesIO(data)) as before:
        assert dict(after.getexif()) == {0x0112: orientation}
        assert "xmp" not in after.info
        assert after.info["icc_profile"] == b"profile"
        assert np.array_equal(np.asarray(after), np.asarray(before))
    assert read_markers(made) == read_markers(data)
