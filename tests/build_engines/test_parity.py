"""The digitized signal with FP16 networks beside that with FP32 networks, both on ONNX Runtime.

With the geometry found in FP32, the FP16 trace network changes the signal by less than 40 dB below it, always. FP16 in the
first two networks moves the lattice by some thousandths of a pixel. That is less than what one grey level of noise in the
photo does, but it too can tip a decision (which of two peaks in a steep stroke is the pen), and one such column in a QRS
complex is worth 30 dB. So a photo whose signal moves by more than 1 % must be one that moves as much for a grey level.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

import ecg_trt.weights as weights
from build_engines.export import Precision, export
from ecg_trt.digitizer import NETWORKS, Digitizer
from ecg_trt.errors import PageError
from ecg_trt.metrics import score_record
from ecg_trt.synth.sample import make_sample
from ecg_trt.types import Array, EcgRecord

PHOTOS, LEAST_DB, ALLOWANCE_DB = 10, 40.0, 6.0
PLAIN = {"layout": "3x4+1", "paper_speed_mm_per_s": 25.0, "gain_mm_per_mv": 10.0, "pulse": "left", "clutter": 0.0}
Read = tuple[Array, EcgRecord]


@pytest.fixture(scope="module")
def monkeymodule() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def open_networks(folder: Path, in_fp16: Collection[str], patch: pytest.MonkeyPatch) -> Digitizer:
    """A digitizer whose named networks are in FP16."""
    index = {}
    for name in NETWORKS:
        model = export(weights.weights_path(name), Precision.FP16 if name in in_fp16 else Precision.FP32)
        (folder / f"{name}.onnx").write_bytes(model)
        index[name] = {"file": f"{name}.onnx", "sha256": hashlib.sha256(model).hexdigest()}
    (folder / weights.MANIFEST).write_text(json.dumps(index))
    with patch.context() as here:
        here.setattr(weights, "FOLDER", folder)
        return Digitizer()


@pytest.fixture(scope="module")
def digitizers(
    tmp_path_factory: pytest.TempPathFactory, monkeymodule: pytest.MonkeyPatch
) -> Iterator[dict[str, Digitizer]]:
    kinds: dict[str, Collection[str]] = {"fp32": (), "trace": ("stage2",), "fp16": NETWORKS}
    with ExitStack() as stack:
        yield {
            kind: stack.enter_context(open_networks(tmp_path_factory.mktemp(kind), halved, monkeymodule))
            for kind, halved in kinds.items()
        }


@pytest.fixture(scope="module")
def photos(digitizers: dict[str, Digitizer]) -> list[Read]:
    """The first ten synthetic photos that the FP32 networks read well, with what they read."""
    found: list[Read] = []
    seed = 200
    while len(found) < PHOTOS:
        assert seed < 200 + 4 * PHOTOS, f"only {len(found)} of {4 * PHOTOS} photos can be read"
        image, truth = make_sample(seed, width_px=2200, severity=0.3, **PLAIN)
        seed += 1
        try:
            record = digitizers["fp32"](image)
        except PageError:
            continue
        if record.layout == truth.layout and snr_db(truth, record) > 10:
            found.append((image, record))
    return found


def snr_db(expected: EcgRecord, got: EcgRecord) -> float:
    return score_record(expected.signal_mv, expected.fs, got.signal_mv, got.fs).snr_db


def test_the_trace_network_in_fp16(digitizers: dict[str, Digitizer], photos: list[Read]) -> None:
    figures = [snr_db(record, digitizers["trace"](image)) for image, record in photos]
    print("trace network in FP16, dB:", *(f"{value:.1f}" for value in figures))
    assert min(figures) >= LEAST_DB


def test_all_networks_in_fp16(digitizers: dict[str, Digitizer], photos: list[Read]) -> None:
    figures = []
    for k, (image, record) in enumerate(photos):
        half = digitizers["fp16"](image)
        assert half.layout == record.layout
        assert np.nanmedian(np.abs(half.signal_mv - record.signal_mv)) < 0.002  # mV: a tenth of a pixel
        figures.append(snr_db(record, half))
        if figures[-1] < LEAST_DB:
            noise = np.random.default_rng(k).integers(-1, 2, image.shape)
            noisy = digitizers["fp32"](np.clip(image + noise, 0, 255).astype(np.uint8))
            assert figures[-1] > min(LEAST_DB, snr_db(record, noisy)) - ALLOWANCE_DB, f"photo {k}"
    print("all networks in FP16, dB:", *(f"{value:.1f}" for value in figures))
    assert np.median(figures) >= LEAST_DB
