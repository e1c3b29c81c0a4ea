"""Which TensorRT and which GPU: asked of the driver, before TensorRT is touched."""

from __future__ import annotations

import re
import sys
import types

import pytest

import ecg_trt.engines.tensorrt_module as engines_module
from build_engines import flavour as module
from build_engines.flavour import capabilities, gpu_capability, open_flavour, target_note
from ecg_trt.cuda.device import DeviceInfo
from ecg_trt.engines.manifest import Flavour
from ecg_trt.errors import BackendUnavailableError, BuildError, OptionError
from tests.build_engines.fake_builder import make_tensorrt

RTX = types.ModuleType("tensorrt_rtx")
RTX.__version__ = "1.4.0"  # type: ignore[attr-defined]
RTX.ComputeCapability = types.SimpleNamespace(SM86=0, SM89=1, SM120=2, NONE=3, CURRENT=4)  # type: ignore[attr-defined]


def use_gpu(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int] | None) -> None:
    found = DeviceInfo(0, "some GPU", capability, 1 << 33, (12, 8)) if capability else "there is no NVIDIA driver"
    for asked in (module, engines_module):
        monkeypatch.setattr(asked, "probe", lambda: found)


@pytest.mark.parametrize("capability", [(8, 6), (12, 0)])
def test_the_driver_is_asked(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    use_gpu(monkeypatch, capability)
    assert gpu_capability() == f"{capability[0]}.{capability[1]}"


def test_no_driver_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    use_gpu(monkeypatch, None)
    monkeypatch.setitem(sys.modules, "tensorrt", make_tensorrt("10.13.0", "builder"))
    assert gpu_capability() is None
    with pytest.raises(BackendUnavailableError, match=r"no NVIDIA driver.*use rtx"):
        open_flavour("trt")
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", make_tensorrt("11.1.0", name="tensorrt_rtx"))
    assert open_flavour("auto")[0] is Flavour.RTX


def test_auto_prefers_the_gpu_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    use_gpu(monkeypatch, (8, 9))
    trt = make_tensorrt("10.13.0")
    monkeypatch.setitem(sys.modules, "tensorrt", trt)
    assert open_flavour("auto") == (Flavour.TRT, trt)
    assert open_flavour("trt") == (Flavour.TRT, trt)


@pytest.mark.parametrize("stub", [None, types.ModuleType("tensorrt")])
def test_nothing_installed(monkeypatch: pytest.MonkeyPatch, stub: types.ModuleType | None) -> None:
    use_gpu(monkeypatch, (8, 9))
    monkeypatch.setitem(sys.modules, "tensorrt", stub)
    monkeypatch.setitem(sys.modules, "tensorrt_lean", make_tensorrt("10.13.0", name="tensorrt_lean"))  # builds nothing
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(BackendUnavailableError, match=r"\.\[trt,build\]"):
        open_flavour("trt")
    with pytest.raises(BackendUnavailableError, match=r"\.\[rtx,build\]"):
        open_flavour("rtx")
    with pytest.raises(BackendUnavailableError, match=r"trt: tensorrt cannot be imported.*rtx: tensorrt_rtx cannot"):
        open_flavour("auto")


@pytest.mark.parametrize(
    ("here", "named", "expected"),
    [
        (None, None, ("8.6", "8.9", "12.0")),
        ("8.9", None, ("8.9",)),
        ("9.0", None, ("any",)),
        ("8.9", " 12.0, 8.6,12.0", ("12.0", "8.6")),
        (None, "any", ("any",)),
    ],
)
def test_capabilities_of_rtx(
    monkeypatch: pytest.MonkeyPatch, here: str | None, named: str | None, expected: tuple[str, ...]
) -> None:
    monkeypatch.setattr(module, "gpu_capability", lambda: here)
    assert capabilities(Flavour.RTX, named, RTX) == expected


def test_capabilities_that_cannot_be_built_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gpu_capability", lambda: "9.0")
    for named in ("9.0", "8.6,x", "", ","):
        with pytest.raises(BuildError, match=r"12\.0, 8\.6, 8\.9, any"):
            capabilities(Flavour.RTX, named, RTX)
    assert capabilities(Flavour.TRT, None, RTX) == capabilities(Flavour.TRT, "9.0", RTX) == ("9.0",)
    with pytest.raises(BuildError, match=r"8\.6; expected 9\.0"):
        capabilities(Flavour.TRT, "8.6", RTX)


def test_one_trt_plan_for_every_gpu_from_ampere_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gpu_capability", lambda: "9.0")
    for named in (None, "9.0", "any"):
        assert capabilities(Flavour.TRT, named, RTX, is_ampere_plus=True) == ("any",)
    with pytest.raises(BuildError, match=r"got 8\.6; expected a GPU of 8\.0 or later"):
        capabilities(Flavour.TRT, "8.6", RTX, is_ampere_plus=True)
    with pytest.raises(OptionError, match=r"flavour rtx; expected flavour trt\. .*--compute-capability any"):
        capabilities(Flavour.RTX, None, RTX, is_ampere_plus=True)
    monkeypatch.setattr(module, "gpu_capability", lambda: "7.5")
    with pytest.raises(BuildError, match=r"got 7\.5; expected a GPU of 8\.0 or later"):
        capabilities(Flavour.TRT, None, RTX, is_ampere_plus=True)


def test_a_gpu_that_no_rtx_plan_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "gpu_capability", lambda: "7.5")
    with pytest.raises(BuildError, match=r"got 7\.5; .*--backend trt or ort"):
        capabilities(Flavour.RTX, None, RTX)


@pytest.mark.parametrize(
    ("here", "targets", "words"),
    [
        (None, ("8.6", "8.9"), ""),
        ("8.9", ("8.9",), ""),
        ("8.9", ("any",), ""),
        ("9.0", ("any",), "TensorRT for RTX 1.4.0 does not list this GPU's compute capability 9.0"),
        ("8.9", ("8.6",), "do not serve the GPU at hand, of compute capability 8.9. .* --compute-capability 8.9"),
        ("9.0", ("8.6", "12.0"), "do not serve the GPU at hand, .* --compute-capability any"),
        ("7.5", ("8.6", "any"), "do not serve the GPU at hand, .* --backend trt or ort"),
    ],
)
def test_plans_that_do_not_serve_the_gpu_at_hand_are_reported(
    monkeypatch: pytest.MonkeyPatch, here: str | None, targets: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr(module, "gpu_capability", lambda: here)
    note = target_note(Flavour.RTX, targets, RTX)
    assert bool(note) == bool(words) and re.search(words, note)
    assert target_note(Flavour.TRT, targets, RTX) == ""
