"""Registry of the backends, and how each is opened."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ecg_trt.backends.base import Backend
from ecg_trt.backends.runtime import LazyBackend, Runtime
from ecg_trt.config import member_of
from ecg_trt.cuda.device import probe
from ecg_trt.engines.manifest import Flavour, Manifest
from ecg_trt.engines.store import PlanStore, serves
from ecg_trt.errors import ORT_CUDA_HINT, BackendError, BackendUnavailableError, install_hint
from ecg_trt.networks import NETWORKS, network_spec
from ecg_trt.ops.select import open_ops
from ecg_trt.str_enum import StrEnum
from ecg_trt.weights import weights_path

if TYPE_CHECKING:
    from ecg_trt.cuda.driver import Driver

_log = logging.getLogger(__name__)


class BackendName(StrEnum):
    """Names of the backends, as a user gives them."""

    AUTO = "auto"
    TRT = "trt"
    RTX = "rtx"
    ORT = "ort"
    ORT_CUDA = "ort-cuda"


@dataclass(frozen=True, slots=True)
class _Flavour:
    """One backend.

    Attributes:
        factory: opens networks, by their names, with a number of CPU threads, on a driver of the caller's or its own;
            imports what it needs.
        why_not: None if it is worth trying here, else the reason.
        why_not_yet: None if what it needs has been built, else the reason; a cheap look that only `auto` takes.
        hint: what to do about it.
        is_automatic: `auto` may choose it.
    """

    factory: Callable[[Sequence[str], int, Driver | None], Runtime]
    why_not: Callable[[], str | None]
    hint: str
    why_not_yet: Callable[[], str | None] = lambda: None
    is_automatic: bool = True


def _open_ort(networks: Sequence[str], threads: int, driver: Driver | None) -> Runtime:
    """Check the files at once, and load each network when it is first used."""
    from ecg_trt.backends.ort import OrtBackend

    paths = {name: weights_path(name) for name in networks}
    backends = {name: LazyBackend("ort", partial(OrtBackend, path, threads)) for name, path in paths.items()}
    return Runtime("ort", backends, open_ops())


def _ort_why_not() -> str | None:
    return None if importlib.util.find_spec("onnxruntime") else "onnxruntime is not installed"


def _open_ort_cuda(networks: Sequence[str], threads: int, driver: Driver | None) -> Runtime:
    """Load all networks at once: a provider that does not start is found here, and not at the first photo."""
    from ecg_trt.backends.ort import OrtBackend

    backends = {name: OrtBackend(weights_path(name), threads, on_gpu=True) for name in networks}
    return Runtime("ort-cuda", backends, open_ops())


def _ort_cuda_why_not() -> str | None:
    if reason := _ort_why_not():
        return reason
    from ecg_trt.backends.ort import why_no_cuda

    device = probe()
    return why_no_cuda() or (device if isinstance(device, str) else None)


def _tensorrt(flavour: Flavour) -> _Flavour:
    def open_it(networks: Sequence[str], threads: int, driver: Driver | None) -> Runtime:
        from ecg_trt.backends.trt import open_trt_runtime

        return open_trt_runtime(flavour, driver, networks=networks)

    def why_not() -> str | None:
        if isinstance(device := probe(), str):
            return device
        is_there = any(map(importlib.util.find_spec, flavour.runtime_modules))
        return None if is_there else f"{flavour.module} is not installed"

    def why_not_yet() -> str | None:
        return None if PlanStore().has(flavour) else "no plans; run: ecg-trt build"

    install = f"{install_hint(str(flavour), 'cuda', 'build')} && ecg-trt build"
    hint = f"{install}, on a machine with an NVIDIA GPU; or use --backend ort."
    return _Flavour(open_it, why_not, hint, why_not_yet)


# `auto` tries them in this order. ONNX Runtime on a GPU moves its arrays to and fro, and is for those who ask for it.
_FLAVOURS: dict[BackendName, _Flavour] = {
    BackendName.TRT: _tensorrt(Flavour.TRT),
    BackendName.RTX: _tensorrt(Flavour.RTX),
    BackendName.ORT: _Flavour(_open_ort, _ort_why_not, "Run: pip install onnxruntime"),
    BackendName.ORT_CUDA: _Flavour(_open_ort_cuda, _ort_cuda_why_not, ORT_CUDA_HINT, is_automatic=False),
}


def available() -> list[tuple[str, bool, str]]:
    """List (name, can be tried, reason if not) of each backend, in the order of "auto"; no network is loaded."""
    reasons = [(name.value, flavour.why_not()) for name, flavour in _FLAVOURS.items()]
    return [(name, reason is None, reason or "") for name, reason in reasons]


def open_runtime(
    name: BackendName | str, *, networks: Sequence[str] | None = None, threads: int = 0, driver: Driver | None = None
) -> Runtime:
    """Open networks, and the pixel work that goes with them.

    Files and plans are checked at once. On the CPU each network is loaded when it is first used; on a GPU all of them
    are, as their memory is allocated at the start.

    Args:
        name: a backend, or "auto" for the best one available; its `note` explains why no better one is.
        networks: names in `ecg_trt.networks`; all if None. Others cost nothing, and need neither weights nor plans.
        threads: CPU threads of the networks, 0 for all.
        driver: of the GPU, if the caller has one open and closes it; used by TensorRT alone.

    Raises:
        BackendUnavailableError: no backend of this name, or it cannot be used here.
        OptionError: no network of this name.
        WeightsError: a network is missing or altered.
        PlanError: a plan of the requested backend is missing, for something else, or cannot be trusted.
        DeviceError: the GPU of the requested backend does not serve.
    """
    wanted = member_of(BackendName, name, "The backend cannot be opened")
    names = [network_spec(network).name for network in (NETWORKS if networks is None else networks)]
    if wanted is BackendName.AUTO:
        return _open_best(names, threads, driver)
    flavour = _FLAVOURS[wanted]
    reason = flavour.why_not()
    if reason is not None:
        raise _unavailable(wanted.value, reason, flavour.hint)
    return flavour.factory(names, threads, driver)


def open_plan(plan: bytes, manifest: Manifest) -> AbstractContextManager[Backend] | None:
    """Open one plan on the GPU at hand, to compare it with its network; None where no GPU here runs it.

    Raises:
        BackendUnavailableError: what drives the GPU is not installed; this and the next when the context is entered.
        DeviceError: the GPU does not serve.
        PlanError: TensorRT does not take the plan.
    """
    device = probe()
    if isinstance(device, str):
        return None
    if not serves(manifest.key, device.compute_capability):
        return None
    from ecg_trt.backends.trt import open_plan_alone

    return open_plan_alone(plan, manifest)


def _open_best(networks: Sequence[str], threads: int, driver: Driver | None) -> Runtime:
    rejected: dict[str, list[str]] = {}  # reason to names
    flavours = {name: flavour for name, flavour in _FLAVOURS.items() if flavour.is_automatic}
    last = list(flavours)[-1]
    for name, flavour in flavours.items():
        reason = flavour.why_not() or flavour.why_not_yet()
        if reason is None:
            try:
                runtime = flavour.factory(networks, threads, driver)
            except Exception as error:  # A GPU's libraries raise errors of any type; the CPU remains.
                if name is last:
                    raise
                reason = str(error) or type(error).__name__
                if not isinstance(error, BackendError):
                    _log.warning("%s failed", name, exc_info=True)
            else:
                runtime.note = _because(rejected)
                _log.info("backend auto: %s", "; not ".join(filter(None, (name.value, runtime.note))))
                return runtime
        rejected.setdefault(reason, []).append(name.value)
    raise _unavailable("auto", _because(rejected), flavours[last].hint)


def _because(rejected: dict[str, list[str]]) -> str:
    return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in rejected.items())


def _unavailable(name: str, reason: str, hint: str) -> BackendUnavailableError:
    return BackendUnavailableError(
        "The backend cannot be opened", got=f"{name}: {reason}", expected="one that can be used here", hint=hint
    )
