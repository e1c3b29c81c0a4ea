"""Every kernel compiles for every capability, and is compiled once."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ecg_trt.cuda import compile as room
from ecg_trt.errors import BackendUnavailableError, DriverError
from tests.marks import slow_but

needs_nvrtc = pytest.mark.skipif(
    not (find_spec("cuda") and find_spec("cuda.core") and find_spec("cuda.bindings")),
    reason='needs pip install -e ".[cuda]"',
)


@needs_nvrtc
@pytest.mark.parametrize("capability", slow_but([(8, 6)], room.CAPABILITIES), ids=lambda c: f"sm_{c[0]}{c[1]}")
def test_every_kernel_compiles(capability: tuple[int, int]) -> None:
    for file in room.kernel_files():
        made = room.compile_file(file, capability)
        assert made.startswith(b"\x7fELF")
        for name in room.kernels_of(file):
            assert f".text.{name}\0".encode() in made


def test_the_kernels_are_those_that_are_launched() -> None:
    names = [name for file in room.kernel_files() for name in room.kernels_of(file)]
    families = {f"{family}_{kind}" for family in ("warp", "flatten") for kind in ("linear", "cubic")}
    assert len(names) == len(set(names))
    assert set(names) == families | {
        "at_rows", "cut", "grey", "marks", "peaks", "reduce", "ridge_chunks", "ridge_gather", "ridge_merge",
        "ridge_path", "every_line", "every_pixel", "line_peaks", "line_profiles", "page_planes", "paper_columns",
        "paper_darkness", "pen_columns", "pen_halo", "pen_rows", "ruling_chunks", "ruling_columns", "ruling_powers",
        "ruling_rows", "ruling_sums",
    }  # fmt: skip


def test_cubins_are_kept_and_a_damaged_one_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def compile_file(file: str, capability: tuple[int, int]) -> bytes:
        made.append(file)
        return b"\x7fELF" + file.encode()

    monkeypatch.setattr(room, "compile_file", compile_file)
    monkeypatch.setenv("ECG_TRT_HOME", str(tmp_path))
    assert room.cubin("grey", (8, 6)) == room.cubin("grey", (8, 6)) == b"\x7fELFgrey"
    assert made == ["grey"]
    (path,) = tmp_path.rglob("*.cubin")
    assert path == room.cubin_path("grey", (8, 6))
    path.write_bytes(b"")
    assert room.cubin("grey", (8, 6)) == b"\x7fELFgrey"
    assert made == ["grey", "grey"]
    room.cubin("grey", (8, 9))
    assert len(list(tmp_path.rglob("*"))) == 3  # the folder and two cubins: no scratch file is left
    file = tmp_path / "file"
    file.touch()
    assert room.cubin("cut", (9, 0), file / "beneath") == b"\x7fELFcut"  # not kept, but made


def test_the_name_changes_with_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = room.cubin_path("grey", (8, 6))
    for path in room.SOURCES.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(room, "SOURCES", tmp_path)
    assert room.cubin_path("grey", (8, 6)) == before
    with (tmp_path / "grid_warp.cuh").open("a") as header:
        header.write("// changed\n")
    assert room.cubin_path("grey", (8, 6)) != before


@needs_nvrtc
def test_the_name_holds_the_major_version_of_nvrtc(monkeypatch: pytest.MonkeyPatch) -> None:
    from cuda.bindings import nvrtc

    major = nvrtc.nvrtcVersion()[1]
    assert room.nvrtc_major() == major
    assert f".nvrtc{major}." in room.cubin_path("grey", (8, 6)).name
    monkeypatch.setattr(room, "nvrtc_major", lambda: major - 1)
    assert f".nvrtc{major - 1}." in room.cubin_path("grey", (8, 6)).name


def test_without_nvrtc_cubins_of_its_oldest_version_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for major in (13, 9, 12):
        monkeypatch.setattr(room, "nvrtc_major", lambda major=major: major)
        room.cubin_path("grey", (8, 6), tmp_path).write_bytes(b"\x7fELF" + str(major).encode())
    monkeypatch.setattr(room, "nvrtc_major", lambda: 11)
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    assert room.cubin("grey", (8, 6), tmp_path) == b"\x7fELF9"
    with pytest.raises(BackendUnavailableError):
        room.cubin("grey", (8, 6), tmp_path, any_nvrtc=False)
    with pytest.raises(BackendUnavailableError):
        room.cubin("grey", (8, 9), tmp_path)


@pytest.mark.parametrize(
    ("capability", "target"),
    [((7, 5), (7, 5)), ((8, 0), (8, 0)), ((8, 8), (8, 7)), ((9, 0), (9, 0)), ((10, 3), (10, 3)), ((12, 1), (12, 0))],
)
def test_a_gpu_runs_cubins_of_its_own_generation(capability: tuple[int, int], target: tuple[int, int]) -> None:
    assert room.target_of(capability) == target


def test_without_the_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    with pytest.raises(BackendUnavailableError, match=r'pip install -e "\.\[cuda\]"'):
        room.cubin("grey", (8, 6), tmp_path)


@needs_nvrtc
def test_what_cannot_be_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DriverError, match="sm_10"):
        room.cubin("grey", (1, 0), tmp_path)
    (tmp_path / "broken.cu").write_text('extern "C" __global__ void broken(int x) { return x; }')
    monkeypatch.setattr(room, "SOURCES", tmp_path)
    with pytest.raises(DriverError, match=r"broken.cu cannot be compiled"):
        room.compile_file("broken", (8, 6))
    assert not list(tmp_path.glob("*.cubin"))
