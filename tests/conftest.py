"""Records, photos and digitizers that many tests share."""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from ecg_trt.config import ReadOptions, RuntimeOptions
from ecg_trt.corrections import Corrections
from ecg_trt.errors import NoEcgFoundError
from ecg_trt.layout import LAYOUTS, LEADS, MARKED_WORDS
from ecg_trt.record import EcgRecord
from ecg_trt.stages.rectify import PageHeatmaps
from ecg_trt.types import (
    Array,
    GridWarp,
    LimbLeadCheck,
    PageWarning,
    Photo,
    PhotoView,
    RectifiedPage,
    Segment,
    Strip,
    TraceMap,
    WarningCode,
)

settings.register_profile("seeded", derandomize=True, deadline=None)
settings.load_profile("seeded")

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path], bytes]:
    """The golden bytes that belong to a written file; with --update-golden the file becomes golden."""

    def compare(written: Path) -> bytes:
        target = GOLDEN / written.name
        if request.config.getoption("--update-golden"):
            target.write_bytes(written.read_bytes())
        return target.read_bytes()

    return compare


def make_record(n: int = 20, fs: float = 100.0, **changes: Any) -> EcgRecord:
    """Waves of known shape; aVR starts late, V5 holds one gap, V6 is not printed."""
    t = np.arange(n) / fs
    waves = [0.1 * (row + 1) * np.sin(2 * np.pi * (5 + row) * t) for row in range(12)]
    signal = np.round(waves, 3).astype(np.float32)  # 3 decimals: golden files must not hang on the last bit
    signal[3, : n // 4] = np.nan
    signal[10, n // 2] = np.nan
    signal[11] = np.nan
    quality = np.linspace(0.95, 0.4, 12).astype(np.float32)
    quality[11] = np.nan
    fields: dict[str, Any] = {
        "signal_mv": signal,
        "fs": fs,
        "lead_names": LEADS,
        "layout": "3x4+1",
        "paper_speed_mm_per_s": 25.0,
        "gain_mm_per_mv": 10.0,
        "quality": quality,
        "warnings": (
            PageWarning(WarningCode.LEADS_MISSING, "Lead V6 is not printed."),
            PageWarning(WarningCode.GAIN_ASSUMED, "Übergröße: 5 µV"),
        ),
        "timings_ms": {"align": 12.34567, "trace": np.float32(2.5)},
        "backend": "fake",
        "weights": {"stage0": "0123456789ab"},
        "assumed": ("gain",),
        "source": "photo.jpg",
        "limb_leads": (LimbLeadCheck(0.0, 0.2, ("I", "II", "III"), 0.0625, True),),
        "snr_db": np.where(np.isfinite(quality), 17.5, np.nan).astype(np.float32),
    }
    return EcgRecord(**{**fields, **changes})


@pytest.fixture
def record() -> EcgRecord:
    return make_record()


@dataclass(frozen=True)
class FakeReading:
    record: EcgRecord
    photo: PhotoView
    grid: GridWarp
    heatmaps: PageHeatmaps
    page: RectifiedPage
    strips: tuple[Strip, ...]
    trace: TraceMap

    def with_page(self, page: RectifiedPage) -> FakeReading:
        return replace(self, page=page)


PHOTO_PX_PER_MM, PHOTO_BORDER_PX = 3.0, 12.0


def make_grid(page: RectifiedPage) -> GridWarp:
    """The grid of a page that lies straight in its photo, `PHOTO_BORDER_PX` from the photo's edges."""
    width, height = (side / page.px_per_mm[0] for side in page.seen.shape[::-1])
    nodes = np.stack(np.meshgrid(np.arange(0, width + 5, 5), np.arange(0, height + 5, 5)), -1)
    node_xy = (PHOTO_PX_PER_MM * nodes + PHOTO_BORDER_PX).astype(np.float32)
    return GridWarp(node_xy, 5.0, 0.1, np.ones(node_xy.shape[:2], bool))


def make_photo(page: RectifiedPage) -> PhotoView:
    """A photo of the page on a brown table, as `make_grid` has it."""
    scale = PHOTO_PX_PER_MM / page.px_per_mm[0]
    size = [round(side * scale + 2 * PHOTO_BORDER_PX) for side in page.seen.shape[::-1]]
    view = np.array([[scale, 0, PHOTO_BORDER_PX], [0, scale, PHOTO_BORDER_PX]])
    image = cv2.warpAffine(page.image, view, size, flags=cv2.INTER_AREA, borderValue=(90, 60, 30))
    return PhotoView(np.asarray(image), 1.0)


def make_heatmaps(strips: tuple[Strip, ...], size_mm: tuple[int, int]) -> PageHeatmaps:
    """Heatmaps of (width, height) mm: lead names 6 mm above the zero lines, and a pulse before each row."""
    planes = {name: np.zeros(size_mm[::-1], np.float32) for name in ("zero", "start", "end", "pulse")}
    label = np.zeros((len(MARKED_WORDS), *size_mm[::-1]), np.float32)
    for strip in strips:
        y = round(strip.zero_y_mm)
        planes["pulse"][y - 9 : y, 9:13] = 0.9
        for segment in strip.segments:
            label[MARKED_WORDS.index(segment.lead), y - 6, round(segment.x_mm[0]) + 3] = 0.8
    return PageHeatmaps(label=label, **planes)


def make_reading(record: EcgRecord) -> FakeReading:
    """A small 3x4+1 page at 4 px/mm whose traces are sines."""
    width, height, px_per_mm = 600, 480, 4.0
    image = np.full((height, width, 3), (255, 240, 238), np.uint8)
    image[::20] = image[:, ::20] = (240, 160, 150)
    layout = LAYOUTS["3x4+1"]
    ridge = np.full((4, width), np.nan, np.float32)
    confidence = np.full((4, width), 0.9, np.float32)
    strips = []
    for row in range(4):
        zero_y_mm = 20.0 + 26.0 * row
        x = np.arange(60, 560)
        ridge[row, x] = zero_y_mm * px_per_mm + 20 * np.sin(x / 15.0)
        ridge[row, 300:310] = np.nan
        confidence[row, 400:440] = 0.2
        spans = layout.spans(row)
        segments = tuple(Segment(lead, (15 + 12.5 * a, 15 + 12.5 * b)) for lead, a, b in spans)
        strips.append(Strip(zero_y_mm, (15.0, 140.0), 0.9, segments))
        points = np.stack((x, ridge[row, x]), 1)[np.isfinite(ridge[row, x])].round().astype(np.int32)
        cv2.polylines(image, [points], False, (30, 30, 40), 2)
    seen = np.ones((height, width), bool)
    seen[:20, :40] = False
    page = RectifiedPage(image, (px_per_mm, px_per_mm), (0.0, 0.0), seen, 4.0)
    trace = TraceMap(ridge, confidence, np.zeros_like(confidence))
    heatmaps = make_heatmaps(tuple(strips), (150, 120))
    return FakeReading(record, make_photo(page), make_grid(page), heatmaps, page, tuple(strips), trace)


class FakeDigitizer:
    """Reads any photo at once, except uniform ones, which hold no ECG."""

    opened = 0
    slots = 1

    def __init__(self, runtime_options: RuntimeOptions | None = None, *, options: ReadOptions | None = None) -> None:
        self.runtime_options, self.options = runtime_options, options or ReadOptions()
        self.runtime = types.SimpleNamespace(
            name="fake", note="", decoder=None, ops=types.SimpleNamespace(copy_to_pinned=lambda image: image)
        )

    def with_replicas(self) -> tuple[FakeDigitizer, ...]:
        return (self, *(type(self)(self.runtime_options, options=self.options) for _ in range(self.slots - 1)))

    def __call__(self, source: Photo, options: ReadOptions | None = None) -> EcgRecord:
        return self.read(source, options).record

    def __enter__(self) -> FakeDigitizer:
        type(self).opened += 1
        return self

    def __exit__(self, *_: object) -> None:
        type(self).opened -= 1

    def read(
        self, source: Photo, options: ReadOptions | None = None, corrections: Corrections | None = None
    ) -> FakeReading:
        low, high = source.image.min(), source.image.max()
        if high == 13:
            raise ZeroDivisionError("a bug")
        if low == high:
            raise NoEcgFoundError("No ECG", got="a uniform picture", expected="ECG paper", hint="Show it.")
        record = make_record(n=50, fs=(options or self.options).fs, source=source.source)
        return make_reading(record if corrections is None else replace(record, corrected=corrections.given))


@pytest.fixture
def fake_digitizer(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeDigitizer]]:
    """Puts a digitizer without networks in the place of the real one."""
    module = types.ModuleType("ecg_trt.digitizer")
    module.Digitizer = FakeDigitizer  # type: ignore[attr-defined]
    module.Reading = FakeReading  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ecg_trt.digitizer", module)
    monkeypatch.setattr(FakeDigitizer, "opened", 0)
    yield FakeDigitizer
    assert FakeDigitizer.opened == 0, "a digitizer was left open"


@pytest.fixture(scope="session")
def digitizer() -> Iterator[Any]:
    """The real digitizer with the shipped networks."""
    if importlib.util.find_spec("ecg_trt.digitizer") is None:
        pytest.skip("no digitizer in this tree")
    from ecg_trt.digitizer import Digitizer

    with Digitizer() as real:
        yield real


def picture(width: int = 700, height: int = 500, seed: int = 0) -> Array:
    """(height, width, 3) uint8: soft random colours, no two corners alike."""
    small = np.random.default_rng(seed).integers(20, 236, (6, 8, 3), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def encode(image: Array | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The picture as a file's bytes."""
    buffer = BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def photo_path(tmp_path: Path) -> Path:
    """A sound photo of no ECG, 0.35 megapixels."""
    path = tmp_path / "in" / "photo.jpg"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode(picture(), "JPEG", quality=90))
    return path


@pytest.fixture
def tools() -> types.SimpleNamespace:
    """Makers that tests call with arguments of their own."""
    return types.SimpleNamespace(
        record=make_record, reading=make_reading, photo_of=make_photo, picture=picture, encode=encode
    )
