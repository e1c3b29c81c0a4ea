"""What the package promises, and that it costs nothing to import."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import ecg_trt
from ecg_trt import errors

LIBRARIES = {"torch", "cv2", "scipy", "onnxruntime", "wfdb", "pandas", "matplotlib", "PIL", "onnx", "tensorrt"}
LIBRARIES |= {"tensorrt_rtx", "edfio", "pydicom", "pyarrow"}


def loaded_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter holds after a statement."""
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return set(json.loads(out.splitlines()[-1]))


def test_import_is_light():
    assert loaded_after("import ecg_trt").isdisjoint(LIBRARIES | {"numpy", "click"})


def test_the_command_starts_light():
    assert loaded_after("import ecg_trt.cli").isdisjoint(LIBRARIES)


@pytest.mark.parametrize(
    "module",
    [
        "config",
        *(f"io.readers{name}" for name in ("", ".pillow", ".photo")),
        "io.writers",
        *(f"io.writers.{name}" for name in ("aecg", "array", "csv", "dicom", "edf", "fhir", "json", "parquet")),
        *(f"io.writers.{name}" for name in ("plot", "wfdb")),
    ],
)
def test_readers_and_writers_load_their_libraries_when_used(module):
    assert loaded_after(f"import ecg_trt.{module}").isdisjoint(LIBRARIES)


def test_all_is_sorted_and_listed():
    assert ecg_trt.__all__ == sorted(ecg_trt.__all__)
    assert set(ecg_trt.__all__) <= set(dir(ecg_trt))


def test_every_error_is_exported():
    classes = {name for name, value in vars(errors).items() if inspect.isclass(value)}
    assert classes <= set(ecg_trt.__all__)


def test_every_promise_is_kept():
    if importlib.util.find_spec("ecg_trt.digitizer") is None:
        pytest.skip("no digitizer in this tree")
    for name in ecg_trt.__all__:
        assert getattr(ecg_trt, name) is not None


def test_names_are_remembered():
    assert ecg_trt.EcgTrtError is errors.EcgTrtError
    assert "EcgTrtError" in vars(ecg_trt)


def test_unknown_names():
    with pytest.raises(AttributeError, match="has no attribute 'digitise'"):
        ecg_trt.digitise  # noqa: B018
    assert not hasattr(ecg_trt, "__path_of_nothing__")


def test_version_is_the_installed_one():
    try:
        installed = importlib.metadata.version("ecg-trt")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed")
    assert installed == ecg_trt.__version__


def test_messages_say_what_got_expected_and_mend():
    error = errors.OutputError("It failed", got="this", expected="that", hint="Wait.")
    assert str(error) == "It failed: got this; expected that. Wait."
    assert (error.what, error.got, error.expected, error.hint) == ("It failed", "this", "that", "Wait.")


def test_a_clone_beside_a_script_does_not_hide_the_package(tmp_path):
    """An editable install must be a line in a .pth file: only then is the package found before the clone's folder."""
    tomllib = pytest.importorskip("tomllib")
    root = Path(ecg_trt.__file__).parents[1]
    setuptools = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    assert setuptools["package-dir"] == {"": "."}
    (tmp_path / "ecg_trt").symlink_to(root)
    script = tmp_path / "script.py"
    script.write_text("import ecg_trt; print(ecg_trt.__version__)")
    code = f"import runpy, sys; sys.path[:0] = [{str(tmp_path)!r}]; sys.path.append({str(root)!r}); "
    code += "sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in getattr(f, '__module__', '')]; "
    code += f"runpy.run_path({str(script)!r})"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == ecg_trt.__version__, run.stderr
