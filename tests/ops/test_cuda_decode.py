"""The decoding on the GPU against the CPU's."""

from __future__ import annotations

import numpy as np
import pytest

from ecg_trt.errors import OptionError
from ecg_trt.geometry.heatmaps import sigmoid
from ecg_trt.geometry.ridge import RIDGE_CANDIDATES, decode_ridge, follow_ridge, ridge_path
from ecg_trt.layout import MARKED_WORDS
from ecg_trt.ops.base import TextMask
from ecg_trt.ops.cuda_decode import _PATH_PENALTIES
from ecg_trt.ops.cuda_ops import CudaOps
from ecg_trt.ops.cv2_ops import Cv2Ops
from tests.ops.parity import agree, bent_nodes, ridge_logits


@pytest.mark.parametrize("shape", [(3, 97, 61), (1, 40, 5), (2, 320, 33), (1, 6, 7), (1, 81, 1)], ids=str)
@pytest.mark.parametrize("priced", [False, True])
def test_ridge(gpu: CudaOps, shape: tuple[int, int, int], priced: bool) -> None:
    logits, letters, less = ridge_logits(*shape), None, np.zeros((), np.float32)
    if priced:
        rng = np.random.default_rng(1)
        mask = rng.random((9, 12)) < 0.3
        row, column = rng.integers(0, 9, shape[:2]), rng.integers(0, 12, (shape[0], shape[2]))
        letters = TextMask(mask, row, column, 3.0)
        less = np.float32(3) * mask[row[:, :, None], column[:, None, :]].astype(np.float32)
    row_px, share = gpu.ridge(logits, letters)
    centre = follow_ridge(logits - less)
    expected_row, expected_share = decode_ridge(logits, centre=centre)
    assert row_px.dtype == share.dtype == np.float32
    agree("row", row_px, expected_row)
    agree("share", share, expected_share)
    maps = gpu.floats("ridge logits", logits, 3)
    row, score, position, window_share = gpu.download(*gpu._ridge_candidates(maps, letters))
    assert row.shape == (shape[0], RIDGE_CANDIDATES, shape[2])
    assert (score[:, 0] == 0).all()
    assert (np.diff(score.clip(-1e3), axis=1) <= 0).all()
    chosen = ridge_path(row, score)[:, None]
    assert np.array_equal(row_px, np.take_along_axis(position, chosen, 1)[:, 0])
    assert np.array_equal(share, np.take_along_axis(window_share, chosen, 1)[:, 0])


def test_ridge_of_flat_and_steep_columns(gpu: CudaOps) -> None:
    flat = np.zeros((1, 100, 3), np.float32)  # the last row of a plateau is its maximum, as on the CPU
    agree("row", gpu.ridge(flat)[0], decode_ridge(flat, centre=follow_ridge(flat))[0])
    steep = np.full((1, 50, 2), -3e4, np.float32)
    steep[0, 20:23, 0], steep[0, 30, 1] = [0, 100, 3e4], 5
    position, share = gpu.ridge(steep)
    assert np.allclose(position, [[22, 30]])
    assert np.allclose(share, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_network_that_overflows_has_seen_nothing(gpu: CudaOps, bad: float) -> None:
    logits = ridge_logits(2, 97, 61)
    logits[0, :, 20:23] = bad  # whole columns
    logits[1, 5, 30] = bad  # one row
    logits[1, :50, 40] = bad  # more than a chunk
    whole, one = np.zeros((2, 61), bool), np.zeros((2, 61), bool)
    whole[0, 20:23], one[1, [30, 40]] = True, True
    unseen = whole if bad == -np.inf else whole | one  # minus infinity alone is as good as very unlikely
    bad_or_beside = np.array([np.convolve(row, [1, 1, 1], "same") > 0 for row in whole | one])
    beside = bad_or_beside & ~whole & ~one
    clean = gpu.ridge(ridge_logits(2, 97, 61))
    for ops in (gpu, Cv2Ops()):
        row, share = ops.ridge(logits)
        assert np.isfinite(row).all()
        assert np.array_equal(share == 0, unseen)
        agree("row", row[~bad_or_beside], clean[0][~bad_or_beside])
        agree("share", share[~whole & ~one], clean[1][~whole & ~one])
        # The jump to a column without a ridge may move a neighbour's window by some rows, in which the pen still lies.
        assert np.abs(row - clean[0])[beside].max() < 1e-3
    if bad == -np.inf:
        for got, expected in zip(gpu.ridge(logits), Cv2Ops().ridge(logits), strict=True):
            agree("row", got[one], expected[one])


def test_the_path_is_the_cpu_s_whatever_the_candidates(gpu: CudaOps) -> None:
    rng, (n, width) = np.random.default_rng(7), (3, 700)
    shape = (n, RIDGE_CANDIDATES, width)
    row = (160 + rng.integers(-120, 120, shape)).astype(np.int16)
    score = np.where(rng.random(shape) < 0.2, -np.inf, -rng.integers(0, 40, shape) / 4).astype(np.float32)  # many ties
    back, chosen = (gpu.memory.array(name, (n, width), kind) for name, kind in (("b", np.uint32), ("c", np.uint8)))
    rows, scores = gpu.memory.upload_all("test", row, score)
    gpu.run("ridge_path", (n,), rows, scores, width, *_PATH_PENALTIES, back, chosen, block=(1, 1, 1))
    assert np.array_equal(gpu.download(chosen)[0], ridge_path(row, score))


@pytest.mark.parametrize("at_once", [2, 4096])
def test_node_candidates(gpu: CudaOps, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_trt.ops.cuda_decode.PEAKS_AT_ONCE", at_once)
    rng = np.random.default_rng(3)
    for hw in ((37, 53), (1, 1), (1, 8), (64, 64)):
        logit = rng.normal(-1, 2, hw).astype(np.float32)
        offset = rng.normal(0, 1, (2, *hw)).astype(np.float32)
        xy, score = gpu.node_candidates(logit, offset, 0.3, 4)
        assert np.abs(sigmoid(logit) - 0.3).min() > 1e-6  # no cell that may fall on either side of the threshold
        expected_xy, expected_score = Cv2Ops().node_candidates(logit, offset, 0.3, 4)
        agree("node", xy, expected_xy)
        agree("node", score, expected_score)
    xy, score = gpu.node_candidates(np.full((5, 5), -9, np.float32), np.zeros((2, 5, 5), np.float32), 0.3, 4)
    assert xy.shape == (0, 2)
    assert score.shape == (0,)
    xy, _ = gpu.node_candidates(np.full((9, 9), 2, np.float32), np.zeros((2, 9, 9), np.float32), 0.3, 4)
    assert len(xy) == 81  # a plateau is all peaks, as on the CPU


@pytest.mark.parametrize(("at_once", "indices"), [(100, 1 << 24), (32768, 1 << 24), (32768, 46799)])
@pytest.mark.parametrize("holes", [0.0, 0.1])
def test_marks(gpu: CudaOps, holes: float, at_once: int, indices: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecg_trt.ops.cuda_decode.ENTRIES_AT_ONCE", at_once)  # else all are downloaded
    monkeypatch.setattr("ecg_trt.ops.cuda_decode._INDICES", indices)  # of 26 * 40 * 45 = 46800
    rng = np.random.default_rng(5)
    planes = {"zero": 1, "start": 1, "end": 1, "pulse": 1, "label": len(MARKED_WORDS)}
    logits = {name: rng.normal(-3, 2, (n, 40, 45)).astype(np.float32) for name, n in planes.items()}
    nodes = bent_nodes(9, 10, 20.0, holes) - 8  # some lie outside the canvas
    expected, got = (ops.page_heatmaps(logits, nodes, 5.0, 4) for ops in (Cv2Ops(), gpu))
    for name, wanted in expected.items():
        agree("mark", got[name], np.where(wanted < 4.5 / 255, 0, wanted))
        assert not ((got[name] > 0) & (got[name] < 4.9 / 255)).any()
    assert got["label"].shape == (len(MARKED_WORDS), 40, 45)


def test_results_of_the_networks_stay_where_they_are(gpu: CudaOps) -> None:
    output = gpu.memory.upload("output", ridge_logits(2, 30, 8)[:, None])
    found = gpu.ridge(output.reshape(2, 30, 8))
    assert np.array_equal(found, gpu.ridge(ridge_logits(2, 30, 8)))
    with pytest.raises(OptionError, match="cannot be reshaped"):
        output.reshape(2, 31, 8)
