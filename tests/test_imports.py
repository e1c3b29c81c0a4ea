"""The direction of imports, and what a bare import may load."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "ecg_trt"
HEAVY = {"torch", "scipy", "wfdb", "matplotlib", "PIL", "onnxruntime", "onnx", "tensorrt", "tensorrt_rtx", "pandas",
         "cuda", "pycuda", "nvidia"}  # fmt: skip
# A module may import, when it is itself imported, only what stands on its own level or below.
LEVELS = [
    {"blas", "errors", "clock", "closing", "types", "layout"},
    {"geometry", "io", "config", "weights"},
    {"metrics", "quality", "synth", "ops.base", "backends.base", "engines", "cuda"},
    {"inference", "ops", "runtime"},
    {"backends"},
    {"stages"},
    {"look"},
    {"find"},
    {"digitizer"},
    {"throughput"},
    {"cli", "cli_common", "cli_engines", "__main__"},
]
CONCRETE = {"backends.ort", "backends.trt", "backends.fake", "ops.cv2_ops", "ops.cuda_ops", "cuda.core_driver",
            "cuda.pycuda_driver"}  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


def level(module: str) -> int:
    parts = module.split(".")
    for depth in range(len(parts), 0, -1):
        for k, names in enumerate(LEVELS):
            if ".".join(parts[:depth]) in names:
                return k
    raise AssertionError(f"ecg_trt.{module} has no place in LEVELS")


def imported(path: Path, *, lazily: bool) -> set[str]:
    """Absolute names that a file imports, at its top level or everywhere; type-checking blocks left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    pending: list[ast.AST] = list(tree.body)
    names: set[str] = set()
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) and not lazily:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        pending += ast.iter_child_nodes(node)
    return names


def inside(names: set[str]) -> set[str]:
    """Modules of this package among imported names, without the prefix."""
    found = set()
    for name in names:
        parts = name.split(".")
        if parts[0] != "ecg_trt":
            continue
        while len(parts) > 1:
            base = ROOT.joinpath(*parts)
            if base.with_suffix(".py").is_file() or (base / "__init__.py").is_file():
                found.add(".".join(parts[1:]))
                break
            parts.pop()
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_direction(path: Path) -> None:
    module = name_of(path)
    if not module:
        return
    for other in inside(imported(path, lazily=False)):
        assert level(other) <= level(module), f"ecg_trt.{module} imports ecg_trt.{other}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nobody_reaches_outside(path: Path) -> None:
    everything = imported(path, lazily=True)
    tops = {name.split(".")[0] for name in everything}
    assert not tops & {"torch", "train", "benchmarks", "tests"}
    assert "build_engines" not in tops or name_of(path) == "cli_engines"
    if name_of(path) not in CONCRETE | {"backends.select", "ops.select", "cuda.driver"}:
        assert not inside(everything) & CONCRETE


def loaded_after(statements: str) -> set[str]:
    code = f"import json, sys\n{statements}\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_bare_import_is_light() -> None:
    assert not {name.split(".")[0] for name in loaded_after("import ecg_trt")} & HEAVY


def test_every_module_but_the_concrete_ones_is_light() -> None:
    wanted = [f"ecg_trt.{m}" for m in map(name_of, MODULES) if m and m not in CONCRETE | {"__main__"}]
    loaded = loaded_after(f"import importlib\nfor m in {wanted!r}: importlib.import_module(m)")
    assert not {name.split(".")[0] for name in loaded} & HEAVY
    assert not {f"ecg_trt.{m}" for m in CONCRETE} & loaded
