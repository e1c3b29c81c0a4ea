from __future__ import annotations

from pathlib import Path

import pytest

from build_engines.cubin import count_cubins, make_cubins
from ecg_trt.cuda import compile as room
from ecg_trt.errors import OutputError


@pytest.fixture(autouse=True)
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "compile_file", lambda file, capability: b"\x7fELF" + file.encode())


def test_a_second_run_makes_nothing(tmp_path: Path) -> None:
    wanted = [(8, 6), (12, 0)]
    first = list(make_cubins(wanted, tmp_path))
    assert len(first) == count_cubins(wanted) == 2 * len(room.kernel_files())
    assert all(cubin.made and cubin.nbytes == cubin.path.stat().st_size for cubin in first)
    assert not any(cubin.made for cubin in make_cubins(wanted, tmp_path))
    first[3].path.write_bytes(b"altered")
    assert [cubin.path for cubin in make_cubins(wanted, tmp_path) if cubin.made] == [first[3].path]


def test_the_runtime_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_TRT_HOME", str(tmp_path))
    made = next(make_cubins([(8, 9)]))
    monkeypatch.setattr(room, "compile_file", None)
    assert room.cubin(made.path.name.split(".")[0], (8, 9)).startswith(b"\x7fELF")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="ECG_TRT_HOME"):
        next(make_cubins([(8, 6)], tmp_path / "file"))
