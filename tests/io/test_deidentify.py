"""Pictures without what may name a patient: print beside the rows, names of files, and metadata."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from ecg_trt.io.writers.deidentify import deidentified
from ecg_trt.io.writers.json import record_as_dict
from ecg_trt.io.writers.notes import without_file_names
from ecg_trt.types import MergedPhoto, PageWarning, PhotoView, WarningCode

INK = (10, 20, 200)  # Of what names the patient; no pen of the page has this colour.
PX_PER_MM = 4
# Where patients' names stand: header, between the second and the third row, footer, left and right margin.
NAMES_MM = ((20, 2, 90, 7), (40, 57, 90, 62), (30, 112, 100, 118), (0, 30, 4, 80), (145, 30, 149, 80))


def with_names(view, tools):
    """The reading of a page on which somebody wrote, and its photo, with something beside the page, too."""
    image = view.page.image.copy()
    for x0, y0, x1, y1 in NAMES_MM:
        image[PX_PER_MM * y0 : PX_PER_MM * y1, PX_PER_MM * x0 : PX_PER_MM * x1] = INK
    page = replace(view.page, image=image)
    photo = tools.photo_of(page)
    photo.image[:10, :40] = INK
    return replace(view, page=page, photo=photo)


def inked(image) -> int:
    return int((np.abs(image.astype(int) - INK).max(-1) < 60).sum())


def dark(image) -> np.ndarray:
    """The pen of the page."""
    return image.max(-1) < 90


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_what_is_beside_the_rows_is_blanked(record, tools, scale):
    view = with_names(tools.reading(record), tools)
    step = round(1 / scale)
    view = replace(view, photo=PhotoView(np.ascontiguousarray(view.photo.image[::step, ::step]), scale))
    clean = deidentified(view)
    for before, after in ((view.page, clean.page), (view.photo, clean.photo)):
        assert inked(before.image) > 1000 * scale**2
        assert inked(after.image) == 0
    assert inked(view.page.image) > 0, "the reading itself is left as it is"


def test_print_that_is_taken_for_a_curve_is_blanked(record, tools):
    """The last row is followed into the footer, without confidence."""
    view = tools.reading(record)
    view.trace.ridge_row[3, 410:420] = 4 * 116
    clean = deidentified(with_names(view, tools))
    assert inked(clean.page.image) == inked(clean.photo.image) == 0


def test_rows_names_and_pulses_stay(record, tools):
    view = with_names(tools.reading(record), tools)
    view.trace.confidence[:] = 0.9
    kept = np.s_[4 * 12 : 4 * 15, 4 * 16 : 4 * 20]  # The first lead name: 6 mm above the zero line.
    pulse = np.s_[4 * 14 : 4 * 18, 4 * 10 : 4 * 12]
    for place in (kept, pulse):
        view.page.image[place] = (30, 30, 40)
    clean = deidentified(view)
    assert dark(clean.page.image[kept]).all() and dark(clean.page.image[pulse]).all()
    trace = dark(view.page.image)
    assert np.array_equal(dark(clean.page.image), trace), "all of the pen, and nothing else"
    assert dark(clean.photo.image).sum() > 0.9 * dark(view.photo.image[12:-12, 12:-12]).sum()


def test_a_page_without_rows_is_blank(record, tools):
    view = with_names(tools.reading(record), tools)
    empty = replace(view.heatmaps, pulse=np.zeros_like(view.heatmaps.pulse))
    none = replace(view.trace, ridge_row=view.trace.ridge_row[:0], confidence=view.trace.confidence[:0])
    clean = deidentified(replace(view, strips=(), trace=none, heatmaps=empty))
    assert (clean.page.image == 255).all() and (clean.photo.image == 255).all()


def test_names_of_files_are_dropped(record):
    secret = "Jane_Doe.jpg"
    named = replace(
        record,
        source=secret,
        warnings=(PageWarning(WarningCode.PHOTO_LEFT_OUT, f"{secret} was left out: why"), *record.warnings),
        photos=(
            MergedPhoto(secret, np.ones(12), np.zeros(12)),
            MergedPhoto(secret, np.full(12, np.nan), np.zeros(12), f"{secret} is too small"),
        ),
    )
    assert secret in json.dumps(record_as_dict(named))
    for content in (record_as_dict(without_file_names(named)), record_as_dict(named, names_files=False)):
        assert "Doe" not in json.dumps(content)
        assert "source" not in content
        assert [photo["left_out"] for photo in content["photos"]] == ["", "A photo of the page was left out."]
