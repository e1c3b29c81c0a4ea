"""The direction of imports, and what a bare import may load."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "ecg_trt"
HEAVY = {"torch", "scipy", "wfdb", "matplotlib", "PIL", "onnxruntime", "onnx", "tensorrt", "tensorrt_rtx", "pandas",
         "cuda", "pycuda", "nvidia", "pypdfium2", "pi_heif", "pydicom", "edfio", "pyarrow", "ray",
         "tritonclient"}  # fmt: skip
# A room may import, when it is itself imported, only rooms that stand on its own level or below.
LEVELS = [
    {"blas", "errors", "closeable", "slots", "step_timer", "str_enum", "types", "layout", "paths", "malloc", "printed"},
    {"geometry", "io", "config", "networks", "weights", "processes"},
    {"corrections", "thresholds"},
    {"record", "results", "cuda"},
    {"ops", "engines"},
    {"inference", "backends"},
    {"stages"},
    {"page"},
    {"signal"},
    {"quality", "metrics", "synth"},
    {"reading", "recorded"},
    {"digitizer", "merging"},
    {"analysis"},
    {"batch"},
    {"archive", "server"},
    {"distributed"},
    {"cli", "__main__"},
]
CONCRETE = {"backends.ort", "backends.trt", "backends.fake", "ops.cv2_ops", "ops.cuda_ops", "cuda.core_driver",
            "cuda.pycuda_driver"}  # fmt: skip
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip(".")


def room_of(module: str) -> str:
    """The folder or, at the top, the file that a module stands in."""
    return module.split(".")[0]


def level(module: str) -> int:
    for k, rooms in enumerate(LEVELS):
        if room_of(module) in rooms:
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


def ties(*, by: Callable[[str], str]) -> dict[str, set[str]]:
    """Map each module or room to those that it imports at any time, itself left out."""
    found: dict[str, set[str]] = {}
    for path in MODULES:
        module = name_of(path)
        if module:  # the package's own face only hands names on
            others = {by(other) for other in inside(imported(path, lazily=True)) if other}
            found.setdefault(by(module), set()).update(others - {by(module)})
    return found


def test_no_two_rooms_import_each_other() -> None:
    rooms = ties(by=room_of)
    assert not {tuple(sorted((a, b))) for a in rooms for b in rooms[a] if a in rooms.get(b, ())}


def test_no_modules_import_in_a_circle() -> None:
    graph = {module: others & {name_of(p) for p in MODULES} for module, others in ties(by=str).items()}
    while loose := [m for m, others in graph.items() if not others & graph.keys()]:
        for module in loose:
            del graph[module]
    assert not graph, "what is left imports, or is imported in, a circle"


def test_no_two_modules_have_one_name() -> None:
    """`base` and `select` of a room, a format read and written, `sample` beside its command mean one thing.

    `beats` of printed rows and of the record are found by one measure of steepness.
    """
    names = Counter(path.stem for path in MODULES)
    twice = {name for name, count in names.items() if count > 1}
    assert twice <= {"__init__", "base", "select", "sample", "dicom", "beats"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nobody_reaches_outside(path: Path) -> None:
    everything = imported(path, lazily=True)
    tops = {name.split(".")[0] for name in everything}
    assert not tops & {"torch", "train", "benchmarks", "tests"}
    assert "build_engines" not in tops or name_of(path) == "cli.build"
    if name_of(path) not in CONCRETE | {"backends.select", "ops.select", "cuda.select"}:
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
