"""Beats of annotated records: how they are read, cut, drawn as paper shows them, and learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
wfdb = pytest.importorskip("wfdb")

from ecg_trt.analysis.heartbeat import BEFORE, CHANNELS, CLASSES, SAMPLES  # noqa: E402
from ecg_trt.backends.ort import OrtBackend  # noqa: E402
from ecg_trt.errors import OptionError  # noqa: E402
from train import export, run  # noqa: E402
from train.config import Data  # noqa: E402
from train.data import mitdb  # noqa: E402
from train.data.heartbeats import (  # noqa: E402
    BeatSource,
    Excerpt,
    as_printed,
    heartbeat_samples,
    open_recordings,
    open_rows,
    table_samples,
    vary,
)
from train.losses import Criterion  # noqa: E402
from train.models import SIGNALS, build_network  # noqa: E402
from train.tasks import TASKS, heartbeat  # noqa: E402

FS, SECONDS = 360, 60
V = CLASSES.index("V")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of both splits: spikes of 1 mV, every fifth 2 mV, broad, early and annotated as ventricular."""
    folder = tmp_path_factory.mktemp("mitdb")
    for number in (*mitdb.DS1, *mitdb.DS2, *mitdb.PACED):
        _write(folder, number, paced=number in mitdb.PACED)
    return folder


def _write(folder: Path, number: int, *, paced: bool) -> None:
    seconds = np.arange(1, SECONDS - 1, 0.8)
    seconds[4::5] -= 0.25
    symbols = ["/" if paced else "V" if k % 5 == 4 else "NL"[k % 2] for k in range(len(seconds))]
    t, signal = np.arange(SECONDS * FS) / FS, np.zeros(SECONDS * FS)
    for k, peak in enumerate(seconds):
        height, width = (2.0, 0.04) if k % 5 == 4 else (1.0, 0.012)
        signal += height * np.exp(-0.5 * ((t - peak) / width) ** 2)
    names = ["V5", "MLII"] if number == 114 else ["MLII", "V1"]
    leads = [-0.5 * signal, signal] if number == 114 else [signal, -0.5 * signal]
    wfdb.wrsamp(str(number), FS, ["mV", "mV"], names, np.stack(leads, 1), fmt=["16", "16"], write_dir=str(folder))
    samples, marks = np.round(seconds * FS).astype(int), np.array(symbols)
    wfdb.wrann(str(number), "atr", np.insert(samples, 0, 100), np.insert(marks, 0, "+"), write_dir=str(folder))


def test_the_splits_share_no_record_and_leave_out_the_paced_ones() -> None:
    assert len(mitdb.DS1) == len(mitdb.DS2) == 22
    assert not set(mitdb.DS1) & set(mitdb.DS2) and not set(mitdb.PACED) & {*mitdb.DS1, *mitdb.DS2}


def test_records_are_read_with_their_beats_and_mlii_first(folder: Path) -> None:
    first, swapped, paced = mitdb.read_recordings(folder, (101, 114, 102))
    assert (first.number, first.fs, first.signal_mv.shape) == (101, FS, (2, SECONDS * FS))
    assert (swapped.signal_mv[0] > -0.1).all(), "MLII comes first"
    classes = np.where(np.arange(len(first.peaks)) % 5 == 4, V, CLASSES.index("N"))
    np.testing.assert_array_equal(first.classes, classes)
    assert first.peaks[0] == FS, "the mark of a rhythm is no beat"
    assert set(paced.classes) == {CLASSES.index("Q")}
    with pytest.raises(OptionError, match=r"without 999\.atr"):
        mitdb.read_recordings(folder, (101, 999))


def test_rows_are_cut_as_the_public_table_has_them(folder: Path) -> None:
    (recording,) = mitdb.read_recordings(folder, (101,))
    table = mitdb.cut_table(recording)
    assert table.beats.shape == (len(recording.peaks), 187) and table.beats.dtype == np.float32
    assert (table.beats.min(1) == 0).all() and (table.beats.max(1) == 1).all()
    assert table.beats[2, 0] == pytest.approx(1, abs=0.02), "a beat begins with its R peak"
    assert not table.beats[2, 121:].any(), "1.2 RR intervals of 0.8 s at 125 Hz"
    np.testing.assert_array_equal(table.classes, recording.classes)


def test_beats_are_split_at_random_within_each_class(folder: Path) -> None:
    train, test = (mitdb.open_table(folder, held_out=held_out) for held_out in (False, True))
    for name in ("N", "V", "Q"):
        parts = [np.count_nonzero(table.classes == CLASSES.index(name)) for table in (train, test)]
        assert parts[1] == pytest.approx(sum(parts) / 5, abs=1), name
    again = mitdb.open_table(folder, held_out=True)
    np.testing.assert_array_equal(test.beats, again.beats)


def test_the_public_files_are_taken_where_they_are(folder: Path, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((3, 188)).round(3)
    rows[:, -1] = (0, 2, 4)
    for name, part in (("mitbih_train.csv", rows[:2]), ("mitbih_test.csv", rows[2:])):
        np.savetxt(tmp_path / name, part, "%.18e", delimiter=",")
    train, test = (mitdb.open_table(tmp_path, held_out=held_out) for held_out in (False, True))
    np.testing.assert_allclose(train.beats, rows[:2, :-1], rtol=1e-6)
    assert train.classes.tolist() == [0, 2] and test.classes.tolist() == [4]
    np.savetxt(tmp_path / "ptbdb_abnormal.csv", rows[:1], delimiter=",")
    both = mitdb.read_table(tmp_path / "mitbih_test.csv", tmp_path / "ptbdb_abnormal.csv")
    assert both.classes.tolist() == [4, 0]
    np.savetxt(tmp_path / "other.csv", rows[:, :50], delimiter=",")
    with pytest.raises(OptionError, match="rows of 50 numbers"):
        mitdb.read_table(tmp_path / "other.csv")


def test_training_draws_ds1_and_validation_ds2(folder: Path) -> None:
    data = Data(signals=str(folder))
    for held_out, numbers in ((False, mitdb.DS1), (True, mitdb.DS2)):
        assert [r.number for r in open_recordings(data, held_out).recordings] == list(numbers)
    assert len(open_rows(data, True).beats) < len(open_rows(data, False).beats)


def test_an_excerpt_gives_its_beat_and_some_beside_it(folder: Path) -> None:
    source = BeatSource(mitdb.read_recordings(folder, mitdb.DS1[:3]))
    samples = [s for k in range(60) for s in heartbeat_samples(np.random.default_rng(k), source)]
    assert {s["image"].shape for s in samples} == {(CHANNELS, SAMPLES)}
    assert all(np.isfinite(s["image"]).all() for s in samples)
    classes = np.array([s["class"] for s in samples])
    assert 0.2 < np.mean(classes == V) < 0.75, "drawn more often than they occur, as rare beats are"
    tall = [abs(s["image"][0, BEFORE - 6 : BEFORE + 7]).max() for s in samples]
    tall_v, tall_n = (np.median(np.array(tall)[classes == k]) for k in (V, 0))
    assert tall_v > 1.4 * tall_n, "ventricular beats are twice as tall as the patient's own"
    again = heartbeat_samples(np.random.default_rng(3), source)
    for one, other in zip(again, heartbeat_samples(np.random.default_rng(3), source), strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])


def test_paper_changes_the_signal_and_keeps_the_beats() -> None:
    peaks = np.arange(200, 3600, 300)
    clean = Excerpt(np.sin(np.arange(3600) / 30), 360.0, peaks, np.zeros(len(peaks), int))
    shown, rates = [], []
    for seed in range(40):
        printed = as_printed(np.random.default_rng(seed), clean, 5)
        visible = np.isfinite(printed.signal_mv)
        assert visible[peaks[5]] and (np.diff(printed.peaks) > 0).all() and len(printed.peaks) == len(peaks)
        shown.append(visible.mean())
        rates.append(printed.fs)
    assert {round(share, 2) for share in shown} <= {1.0, 0.25}, "a column of 2.5 s, or all"
    assert 0.2 < np.mean(np.array(shown) < 1) < 0.65
    assert 0.02 < np.std(np.log(rates)) < 0.06, "the paper speed is never exact"


def test_a_batch_that_is_shown_again_is_moved_and_noisy() -> None:
    torch.manual_seed(1)
    beats = torch.zeros(8, CHANNELS, SAMPLES)
    beats[:, 0, BEFORE] = 1.0
    again, _ = vary(beats, {})
    assert again.shape == beats.shape and 0 < (again - again.round()).abs().max() < 0.3
    assert (again[:, 0].argmax(1) - BEFORE).abs().max() <= 2


def test_measures_and_loss_of_classes() -> None:
    logits = torch.tensor([[4.0, 0, 0, 0, 0], [0, 4.0, 0, 0, 0], [0, 0, 4.0, 0, 0]])
    truth = {"class": torch.tensor([0, 2, 2])}
    assert heartbeat.measure({"beat_class": logits}, truth) == pytest.approx({"right": 2 / 3, "binary_right": 1.0})
    plain, smooth = (
        Criterion({"beat_class": {"cross_entropy": {"weight": 1.0, "smoothing": share}}})(
            {"beat_class": logits}, heartbeat.targets(truth)
        )[0]
        for share in (0.0, 0.1)
    )
    torch.testing.assert_close(plain, torch.nn.functional.cross_entropy(logits, truth["class"]))
    assert smooth != plain


@pytest.mark.parametrize("stage", ["heartbeat", "heartbeat_table"])
def test_networks_stay_small(stage: str) -> None:
    model = build_network(stage).eval()
    assert sum(p.numel() for p in model.parameters()) <= 0.3e6
    assert model(torch.zeros(3, *SIGNALS[stage].input_shape))["beat_class"].shape == (3, len(CLASSES))


@pytest.mark.filterwarnings("ignore")  # torch's exporter warns about itself
def test_it_is_trained_and_exported(folder: Path, tmp_path: Path) -> None:
    words: list[Any] = [f"data.signals={folder}", f"out={tmp_path}", "log.to=[]", "log.validation_pages=4",
                        "schedule.steps=4", "sampler.batch=8", "hardware.device=cpu"]  # fmt: skip
    run.main([str(Path(run.__file__).parent / "experiments" / "heartbeat.toml"), *words])
    runs = tmp_path / "default" / "seed0"
    assert {path.name for path in runs.iterdir()} == {"heartbeat", "heartbeat_table"}
    worst = export.export("heartbeat", runs / "heartbeat" / "last.pt", tmp_path / "heartbeat.onnx")
    assert worst < 2e-3 and (tmp_path / "heartbeat.onnx").stat().st_size < 1e6
    with OrtBackend(tmp_path / "heartbeat.onnx", 1) as backend:
        out = backend.infer({"beat": np.zeros((3, CHANNELS, SAMPLES), np.float32)})
    assert out["beat_class"].shape == (3, len(CLASSES))


def test_each_stage_of_signals_has_a_task() -> None:
    assert set(SIGNALS) <= set(TASKS)


def test_rows_are_drawn_from_the_whole_table() -> None:
    table = mitdb.BeatTable(np.arange(40, dtype=np.float32)[:, None].repeat(187, 1), np.arange(40) % 5)
    samples = table_samples(np.random.default_rng(0), table)
    assert len({float(s["image"][0, 0]) for s in samples}) > 20
    assert all(s["image"].shape == (1, 187) and s["class"] == s["image"][0, 0] % 5 for s in samples)
