"""Networks, a short run that resumes, and the export."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from ecg_trt.errors import OptionError  # noqa: E402
from ecg_trt.printed import CLASSES  # noqa: E402
from tests.marks import slow_but  # noqa: E402
from train import export, run  # noqa: E402
from train.config import Model  # noqa: E402
from train.data.batches import collate  # noqa: E402
from train.data.signals import SignalSource  # noqa: E402
from train.ema import average_of  # noqa: E402
from train.loop import read_checkpoint  # noqa: E402
from train.losses import Criterion, Target, expected_row  # noqa: E402
from train.models import STAGES, build_network, count_macs  # noqa: E402
from train.models.widen import load_widened  # noqa: E402
from train.tasks import TASKS  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's exporter and TensorBoard warn about themselves
STRIP_TILES = 8  # a 3x4+1 page: four strips of two tiles
LINES = 19  # at most: 13 names and 6 places around settings


@pytest.mark.parametrize(("size", "most_macs", "most_parameters"), [("small", 67e9, 4.4e6), ("base", 300e9, 6e6)])
def test_cost_stays_small(size: str, most_macs: float, most_parameters: float) -> None:
    images = {"stage0": 1, "stage1": 1, "stage2": STRIP_TILES, "caption": LINES}
    networks = {stage: build_network(stage, Model(size=size)) for stage in STAGES}
    macs = sum(count_macs(m, images[stage]) for stage, m in networks.items())
    parameters = sum(p.numel() for m in networks.values() for p in m.parameters())
    assert macs <= most_macs
    assert parameters <= most_parameters


@pytest.mark.parametrize("stage", list(STAGES))
def test_a_wider_network_begins_with_what_a_narrower_one_has_learnt(stage: str) -> None:
    torch.manual_seed(0)
    narrow, wide = build_network(stage).eval(), build_network(stage, Model(size="base", width=2.0)).eval()
    for module in narrow.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as after some training
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    load_widened(wide, narrow.state_dict())
    image = torch.randint(0, 256, (1, 64, 128, 3), dtype=torch.uint8)
    with torch.no_grad():
        expected, got = narrow(image), wide(image)
    for name, value in expected.items():
        assert torch.allclose(got[name], value, atol=1e-3 * (1 + value.abs().max().item())), name
    with pytest.raises(OptionError, match="does not fit"):
        load_widened(narrow, wide.state_dict())
    other = {**narrow.state_dict(), "head.weight": narrow.state_dict()["head.weight"][:1]}
    with pytest.raises(OptionError, match="equal heads"):
        load_widened(wide, other)
    width = narrow.state_dict()["head.weight"].shape[1]
    copies = [wide.state_dict()["head.weight"][:, k] for k in (0, width)]
    assert not torch.allclose(*copies)  # or they would stay copies for ever


def test_a_line_has_a_column_of_classes_for_two_pixels() -> None:
    out = build_network("caption").eval()(torch.zeros(2, 64, 192, 3, dtype=torch.uint8))
    assert {name: tuple(value.shape) for name, value in out.items()} == {"text": (2, 1, CLASSES, 96)}


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "caption"])
def test_outputs_have_the_strides_they_promise(stage: str) -> None:
    spec = STAGES[stage]
    out = build_network(stage).eval()(torch.zeros(2, 128, 192, 3, dtype=torch.uint8))
    for name, channels in spec.heads:
        assert out[name].shape == (2, channels, 128 // spec.out_stride, 192 // spec.out_stride)
    for name in spec.column_heads:
        assert out[name].shape == (2, 192)
    assert tuple(out) == spec.outputs


@pytest.mark.parametrize("stage", slow_but(["stage0", "caption"], STAGES))
def test_a_few_steps_lower_the_loss(stage: str) -> None:
    torch.manual_seed(0)
    task = TASKS[stage]
    image, truth = collate(task.make(np.random.default_rng(5), SignalSource())[:2])
    model, criterion = build_network(stage), Criterion(task.loss)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for _ in range(8):
        loss, _ = criterion(model(image), task.targets(truth))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(np.isfinite(v) or np.isnan(v) for v in task.measure(model.eval()(image), truth).values())


def test_perfect_logits_cost_next_to_nothing() -> None:
    row = torch.full((1, 64), 20.25)
    logit = -0.5 * (torch.arange(40.0)[None, :, None] - row[:, None]) ** 2
    ones = torch.ones(1, 64)
    out = {"ridge": logit[:, None], "presence": torch.full((1, 64), 20.0), "border": torch.full((1, 64), -20.0)}
    targets = {"ridge": Target(row, ones), "presence": Target(ones, ones), "border": Target(0 * ones, ones)}
    assert expected_row(logit).sub(row).abs().max() < 1e-3
    criterion = Criterion(TASKS["stage2"].loss)
    good, parts = criterion(out, targets)
    worse, _ = criterion({**out, "ridge": logit.roll(5, 1)[:, None]}, targets)
    assert parts["ridge.l1"] < 2e-3 and worse > good + 1


def test_ema_follows_the_weights() -> None:
    model = torch.nn.Linear(2, 2)
    average = average_of(model, decay=0.5)
    with torch.no_grad():
        model.weight.add_(1.0)
    before = average.module.get_parameter("weight").clone()
    for _ in range(200):
        average.update_parameters(model)
    assert (average.module.weight - model.weight).abs().max() < 1e-3 < (before - model.weight).abs().max()


def test_the_decay_of_the_average_warms_up() -> None:
    model = torch.nn.BatchNorm1d(3)
    average, expected = average_of(model, decay=0.25), {k: v.clone() for k, v in model.state_dict().items()}
    for step in range(1, 5):
        model.weight.data.normal_()
        model(torch.randn(4, 3))
        average.update_parameters(model)
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                expected[name].lerp_(value, 1 - min(0.25, (1 + step) / (10 + step)))
            else:
                expected[name].copy_(value)
    for name, value in average.module.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_a_stage_resumes_and_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = pytest.importorskip("onnx")
    out = tmp_path / "runs" / "stage0"
    line = ["--minutes", "0.01", "--out", str(out), "--validation-pages", "1", "--device", "cpu", "--batch", "1",
            "--validate-every", "60", "log.to=[]"]  # fmt: skip
    run.train_stage("stage0", line)
    first = read_checkpoint(out / "last.pt")["step"]
    assert first >= 1
    run.train_stage("stage0", line)
    assert read_checkpoint(out / "last.pt")["step"] > first
    weights = tmp_path / "weights"
    weights.mkdir()
    monkeypatch.setattr(sys, "argv", ["x", "--runs", str(tmp_path / "runs"), "--out", str(weights)])
    export.main()
    manifest = json.loads((weights / "manifest.json").read_text())
    stored = onnx.load(weights / manifest["stage0"]["file"]).graph.initializer
    kernels = [onnx.numpy_helper.to_array(w) for w in stored if len(w.dims) == 4]
    assert kernels and all((kernel.view(np.uint32) % (1 << 13) == 0).all() for kernel in kernels)
    assert set(manifest) == {"stage0"} and (weights / manifest["stage0"]["file"]).stat().st_size > 1e6
    stage2 = {"file": "stage2.onnx", "sha256": "ab" * 32}
    (weights / "manifest.json").write_text(json.dumps({**manifest, "stage2": stage2}))
    export.main()
    again = json.loads((weights / "manifest.json").read_text())
    assert again == {**manifest, "stage2": stage2}, "what is there already is left alone"


@pytest.mark.parametrize("stage", slow_but(["caption"], STAGES))
def test_exported_programs_are_the_network(stage: str, tmp_path: Path) -> None:
    from build_engines.export import Precision, io_specs
    from build_engines.export import export as to_precision
    from build_engines.plan_from_exported import check_program
    from ecg_trt.networks import NETWORKS

    torch.manual_seed(1)
    torch.save({"ema": build_network(stage).state_dict()}, tmp_path / "last.pt")
    export.export(stage, tmp_path / "last.pt", tmp_path / "network.onnx")
    inputs, _ = io_specs(to_precision(tmp_path / "network.onnx", Precision.FP16, NETWORKS[stage].shapes))
    for precision in Precision:
        path = export.export_program(stage, tmp_path / "last.pt", tmp_path, precision.value)
        program = torch.export.load(path)
        kinds = {parameter.dtype for parameter in program.parameters()}
        assert kinds == ({torch.float32} if precision is Precision.FP32 else {torch.float16, torch.float32})
        check_program(program.module(), tmp_path / "network.onnx", inputs, path)
