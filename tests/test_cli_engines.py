"""`ecg-trt build` and `ecg-trt engines`, through click's runner, in a store of their own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import build_engines.jobs as jobs
import ecg_trt.weights as weights
from build_engines.plan_from_onnx import BuildOptions, build_plan
from ecg_trt.cli import main
from ecg_trt.cuda.device import DeviceInfo
from ecg_trt.errors import BackendUnavailableError, BuildError
from ecg_trt.networks import NETWORKS
from tests.build_engines.fake_builder import make_tensorrt

NOTICE = "Research use only, not a medical device"
Run = Callable[..., Result]
PLANS = 3 * len(NETWORKS)  # each network for three GPUs
ONE = ("--flavour", "rtx", "--stage", "stage0", "--compute-capability", "8.6", "--no-verify")


@pytest.fixture(scope="module", autouse=True)
def compiled() -> Iterator[list[str]]:
    """Kernels that are compiled at once; which, and for what."""
    done: list[str] = []

    def compile_file(file: str, capability: tuple[int, int]) -> bytes:
        done.append("{} {}.{}".format(file, *capability))
        return b"\x7fELF"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ecg_trt.cuda.compile.compile_file", compile_file)
        yield done


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def run(home: Path) -> Run:
    return lambda *words: CliRunner(env={"ECG_TRT_HOME": str(home)}).invoke(main, list(map(str, words)))


@pytest.fixture
def fresh(tmp_path: Path) -> Run:
    return lambda *words: CliRunner(env={"ECG_TRT_HOME": str(tmp_path)}).invoke(main, list(map(str, words)))


def table(result: Result) -> list[dict[str, str]]:
    """The rows of the table that `build` prints; its columns stand at least two spaces apart."""
    head, *rows = ([cell.strip() for cell in line.split("  ") if cell.strip()] for line in result.stdout.splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def built(home: Path) -> Result:
    pytest.importorskip("tensorrt_rtx")
    command = ["build", "--flavour", "rtx", "--compute-capability", "8.6,8.9,12.0"]
    return CliRunner(env={"ECG_TRT_HOME": str(home)}).invoke(main, command)


@pytest.mark.parametrize(
    "command", [["build"], ["engines"], *(["engines", c] for c in ("list", "inspect", "verify", "prune"))]
)
def test_help_says_research_use_only(command: list[str]) -> None:
    result = CliRunner().invoke(main, [*command, "--help"])
    assert result.exit_code == 0
    assert NOTICE in result.output


def test_build_makes_and_compares_every_plan(built: Result, home: Path) -> None:
    assert built.exit_code == 0, built.output
    rows = table(built)
    assert [(row["network"], row["GPU"]) for row in rows] == [
        (stage, f"rtx {capability}") for stage in NETWORKS for capability in ("8.6", "8.9", "12.0")
    ]
    assert {row["state"] for row in rows} == {"built"}
    assert {row["compared"] for row in rows} == {"ONNX"}
    for row in rows:
        assert 0.2 < float(row["MiB"]) < 20
        assert 0 < float(row["median"]) <= float(row["mean"]) <= float(row["max"]) < 0.2
        in_mv = row["mV: max / mean / median"]
        assert (in_mv != "-") == (row["network"] == "stage2")
        if in_mv != "-":
            assert float(in_mv.split(" / ")[2]) < 1e-4
    assert NOTICE in built.stderr
    plans = sorted((home / "plans").glob("*.plan"))
    assert len(plans) == PLANS
    assert all(plan.read_bytes().startswith(b"vtrt") for plan in plans)
    first = next(plan for plan in plans if plan.name.startswith("stage0"))
    manifest = json.loads((first.with_name(f"{first.name}.json")).read_text())
    assert manifest["key"]["onnx_sha256"] == weights.list_weights()["stage0"]
    assert manifest["inputs"] == [{"name": "image", "dtype": "uint8", "shape": [1, 512, 512, 3]}]


def test_a_second_run_does_nothing_and_says_so(built: Result, run: Run, home: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (home / "plans").iterdir()}
    again = run("build", "--flavour", "rtx", "--compute-capability", "8.6,8.9,12.0")
    assert again.exit_code == 0
    assert {row["state"] for row in table(again)} == {"current"}
    assert f"Nothing to do: all {PLANS} plans" in again.stderr
    assert before == {path: path.stat().st_mtime_ns for path in (home / "plans").iterdir()}


def test_list_verify_info(built: Result, run: Run, home: Path) -> None:
    listed = run("engines", "list")
    assert listed.exit_code == 0 and len(listed.stdout.splitlines()) == 1 + PLANS
    assert listed.stdout.count("  shipped  ") == PLANS
    verified = run("engines", "verify")
    assert verified.exit_code == 0 and verified.stdout.count("  sound") == PLANS
    assert f"{PLANS} files" not in run("engines", "prune", "--dry-run").output
    shown = run("info").stdout
    assert f"{PLANS} in {home / 'plans'}" in shown and "rtx " in shown


def test_what_was_altered_is_found_built_again_and_pruned(fresh: Run, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    assert fresh("build", *ONE).exit_code == 0
    (plan,) = (tmp_path / "plans").glob("*.plan")
    sound = plan.read_bytes()
    plan.write_bytes(sound[:-1])
    verified = fresh("engines", "verify")
    assert verified.exit_code == 2 and "not to be trusted" in verified.stdout and "ecg-trt build" in verified.stderr
    again = fresh("build", *ONE)
    assert [row["state"] for row in table(again)] == ["built"] and plan.read_bytes() == sound
    plan.write_bytes(b"no plan")
    assert f"{plan.name}  PlanCorruptError" in fresh("engines", "prune").stdout
    assert not list((tmp_path / "plans").iterdir())
    assert "0 plans" in fresh("engines", "list").stderr


@pytest.mark.parametrize(
    "change", [("--workspace", "64"), ("--precision", "fp32"), ("--optimization-level", "0"), ("--layer-details",)]
)
def test_what_changed_is_built_again(fresh: Run, tmp_path: Path, change: tuple[str, ...]) -> None:
    pytest.importorskip("tensorrt_rtx")
    out = ("--out", tmp_path / "mine")
    assert fresh("build", *ONE, *out).exit_code == 0
    for state in ("built", "current"):
        assert [row["state"] for row in table(fresh("build", *ONE, *out, *change))] == [state]
    assert not (tmp_path / "plans").exists()
    assert len(fresh("engines", "list", "--dir", tmp_path / "mine").stdout.splitlines()) == 2 + ("fp32" in change)


def test_inspect_without_a_gpu_shows_the_manifest_and_says_why(
    fresh: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr("ecg_trt.cuda.select.probe", lambda ordinal: "no NVIDIA driver")
    fresh("build", *ONE, "--layer-details")
    (plan,) = (tmp_path / "plans").glob("*.plan")
    shown = fresh("engines", "inspect")
    assert shown.exit_code == 0
    for words in (plan.name, "rtx 1.", "8.6", "layer_details yes", "image uint8 (1, 512, 512, 3)", "no NVIDIA driver"):
        assert words in shown.stdout
    assert NOTICE in shown.stderr
    for name in (plan, plan.name):
        (line,) = fresh("engines", "inspect", name, "--json").stdout.splitlines()
        found = json.loads(line)
        assert found["file"] == plan.name and found["manifest"]["plan_bytes"] == plan.stat().st_size
        assert (found["device_bytes"], found["layers"]) == (None, None) and "no NVIDIA driver" in found["why_not"]
    plan.write_bytes(b"no plan")
    broken = fresh("engines", "inspect", plan.name, "missing.plan")
    assert broken.exit_code == 2 and broken.stdout == ""
    assert "There is no plan missing.plan" in broken.stderr and "engines list shows the names" in broken.stderr


def test_a_plan_that_is_not_there_is_named(fresh: Run, tmp_path: Path) -> None:
    missing = fresh("engines", "inspect", "nosuch", "--dir", tmp_path)
    assert missing.exit_code == 2 and missing.stdout == ""
    assert f"There is no plan nosuch: got no such file in {tmp_path}" in missing.stderr
    assert "ecg-trt engines list shows the names." in missing.stderr and "ecg-trt build" not in missing.stderr


def test_plans_that_do_not_serve_the_gpu_at_hand_are_reported(fresh: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr("build_engines.flavour.gpu_capability", lambda: "9.0")
    named = fresh("build", *ONE)
    assert named.exit_code == 0
    assert "do not serve the GPU at hand, of compute capability 9.0" in named.stderr
    assert "--compute-capability any" in named.stderr
    by_default = fresh("build", "--flavour", "rtx", "--stage", "stage0", "--no-verify")
    assert by_default.exit_code == 0 and [row["GPU"] for row in table(by_default)] == ["rtx any"]
    assert "does not list this GPU's compute capability 9.0" in by_default.stderr


def test_kernels_are_compiled_for_the_same_gpus(
    fresh: Run, compiled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx")
    compiled.clear()
    fresh("build", *ONE)
    assert {line.split()[1] for line in compiled} == {"8.6"}
    assert len(list((tmp_path / "cubins").iterdir())) == len(compiled) > 5
    compiled.clear()
    assert "Nothing to do" in fresh("build", *ONE).stderr
    assert not compiled
    missing = BackendUnavailableError("No compiler", got="cuda-core is missing", expected="it", hint="Get it.")
    monkeypatch.setattr("build_engines.cubin.cubin", lambda *_, **__: (_ for _ in ()).throw(missing))
    result = fresh("build", *ONE)
    assert result.exit_code == 0
    assert "left to the first run on a GPU: cuda-core is missing. Get it." in result.stderr


def test_another_release_builds_again(fresh: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx")
    fresh("build", *ONE)
    monkeypatch.setattr(jobs, "_CREATED_BY", "ecg_trt 99")
    assert [row["state"] for row in table(fresh("build", *ONE))] == ["built"]


@pytest.fixture
def h100(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU of compute capability 9.0 and TensorRT 10.13, neither of them real."""
    monkeypatch.setitem(sys.modules, "tensorrt", make_tensorrt("10.13.0"))
    monkeypatch.setattr("build_engines.flavour.gpu_capability", lambda: "9.0")
    device = DeviceInfo(0, "a GPU", (9, 0), 1 << 37, (13, 0))
    monkeypatch.setattr("ecg_trt.engines.tensorrt_module.probe", lambda: device)


def test_one_trt_plan_for_every_gpu_from_ampere_on(fresh: Run, tmp_path: Path, h100: None) -> None:
    command = ("build", "--flavour", "trt", "--stage", "stage0", "--no-verify", "--hardware-compat", "ampere+")
    for state in ("built", "current"):
        result = fresh(*command)
        assert result.exit_code == 0, result.output
        assert [(row["GPU"], row["state"]) for row in table(result)] == [("trt any", state)]
    (manifest,) = (tmp_path / "plans").glob("stage0_trt-10.13.0_any_fp16_*.plan.json")
    assert json.loads(manifest.read_text())["key"]["capability"] == "any"
    assert (tmp_path / "timing_10.13.0_sm90.cache").is_file()


def test_a_version_compatible_trt_plan(fresh: Run, tmp_path: Path, h100: None) -> None:
    command = ("build", "--flavour", "trt", "--stage", "stage0", "--no-verify")
    assert fresh(*command).exit_code == 0
    for state in ("built", "current"):
        assert [row["state"] for row in table(fresh(*command, "--version-compatible"))] == [state]
    (manifest,) = (tmp_path / "plans").glob("*.plan.json")
    assert json.loads(manifest.read_text())["options"]["version_compatible"] == "yes"


def test_trt_on_the_gpu_at_hand(fresh: Run, tmp_path: Path, h100: None) -> None:
    result = fresh("build", "--no-verify")
    assert result.exit_code == 0, result.output
    assert {row["GPU"] for row in table(result)} == {"trt 9.0"}
    assert len(list((tmp_path / "plans").glob("*_trt-10.13.0_sm90_fp16_*.plan"))) == len(NETWORKS)
    assert (tmp_path / "timing_10.13.0_sm90.cache").read_bytes() == b"measured" * len(NETWORKS)


def test_one_that_fails_harms_no_other(fresh: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx")
    honest = build_plan

    def fails_once(onnx: bytes, trt: object, options: BuildOptions, progress: object) -> bytes:
        if options.capability == "8.6":
            raise BuildError("It failed", got="this", expected="that", hint="Wait.")
        return honest(onnx, trt, options, progress)  # type: ignore[arg-type]

    monkeypatch.setattr(jobs, "build_plan", fails_once)
    result = fresh("build", *ONE[:-2], "8.6,8.9", "--no-verify")
    assert result.exit_code == 1
    assert [row["state"] for row in table(result)] == ["failed", "built"]
    assert "error: It failed: got this; expected that. Wait." in result.stderr
    assert fresh("build", *ONE).exit_code == 2


def test_networks_that_disagree_are_not_built(fresh: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx")
    monkeypatch.setattr("build_engines.verify._MOST_RELATIVE", 1e-9)
    result = fresh("build", *ONE[:-1])
    assert result.exit_code == 2
    assert "does not answer as its FP32 network does" in result.stderr
    assert not list(tmp_path.glob("plans/*.plan"))


def test_an_interrupt_leaves_whole_plans(fresh: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx")

    def interrupted(*_: object) -> bytes:
        raise KeyboardInterrupt

    fresh("build", *ONE)
    monkeypatch.setattr(jobs, "build_plan", interrupted)
    result = fresh("build", *ONE, "--workspace", "32")
    assert result.exit_code == 130 and "what is written is whole" in result.stderr
    assert fresh("engines", "verify").exit_code == 0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--flavour", "rtx", "--stage", "stage9"), "stage0, stage1, stage2"),
        (("--flavour", "rtx", "--compute-capability", "1.0"), "compute capability: got 1.0"),
        (("--frontend", "torch"), "expected --exported DIR with --frontend torch"),
        (("--exported", "there"), "expected --exported DIR with --frontend torch"),
        (("--flavour", "rtx", "--frontend", "torch", "--exported", "there"), "expected --flavour trt"),
        (("--frontend", "torch", "--exported", "there", "--optimization-level", "0"), "expected --frontend onnx"),
        (("--frontend", "torch", "--exported", "there", "--hardware-compat", "ampere+"), "expected --frontend onnx"),
        (("--flavour", "rtx", "--hardware-compat", "ampere+"), "use --compute-capability any"),
        (("--flavour", "rtx", "--version-compatible"), "expected flavour trt"),
    ],
)
def test_what_cannot_be_built(fresh: Run, words: tuple[str, ...], expected: str) -> None:
    pytest.importorskip("tensorrt_rtx")
    result = fresh("build", *words)
    assert result.exit_code == 2
    assert expected in result.stderr and NOTICE in result.stderr


def test_without_what_building_needs(fresh: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("build_engines")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    result = fresh("build", "--flavour", "rtx")
    assert result.exit_code == 2
    assert 'pip install -e ".[rtx,build]"' in result.stderr
