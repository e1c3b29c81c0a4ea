"""Jobs of a worker, done in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np

from ecg_trt.config import ReadOptions
from ecg_trt.errors import NoEcgFoundError
from ecg_trt.server.jobs import ANALYSIS, DRAWING, FIRST, FLAT, OVERLAY, PHOTO, RECORD, ReadJob, Worker


class Blind:
    """A digitizer that finds no ECG."""

    def read(self, *_: object) -> Any:
        raise NoEcgFoundError("No ECG", got="a cat", expected="an ECG", hint="Show it.")


def test_a_page_that_is_read_again_in_vain_keeps_nothing_of_its_reading_before(tmp_path: Path) -> None:
    upload, folder = tmp_path / "upload", tmp_path / "record"
    upload.write_bytes(cv2.imencode(".png", np.full((500, 700, 3), 200, np.uint8))[1].tobytes())
    (folder / ANALYSIS).mkdir(parents=True)
    for name in (FIRST, RECORD, DRAWING, FLAT, OVERLAY, f"{ANALYSIS}/record.json"):
        (folder / name).write_bytes(b"of the reading before")
    result = Worker(cast("Any", Blind()))(ReadJob(upload, "photo.png", 1, folder, ReadOptions()))
    assert isinstance(result.error, NoEcgFoundError) and result.photo_px == (700, 500)
    assert [path.name for path in folder.iterdir()] == [PHOTO]
