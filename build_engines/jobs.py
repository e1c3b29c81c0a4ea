"""Jobs of `ecg-trt build`, one for each plan; plans that are current are left alone."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType

from build_engines.export import Precision, export, io_specs
from build_engines.plan_from_exported import plan_from_exported
from build_engines.plan_from_onnx import BuildOptions, Progress, build_plan
from build_engines.verify import Comparison, compare, draw_feed
from ecg_trt import __version__
from ecg_trt.backends.base import Backend
from ecg_trt.engines.manifest import ANY_CAPABILITY, VERSION_COMPATIBLE, Flavour, Manifest, PlanKey
from ecg_trt.engines.store import PlanStore, checked_plan
from ecg_trt.errors import BackendUnavailableError, BuildError, EcgTrtError, PlanError
from ecg_trt.networks import NetworkSpec
from ecg_trt.types import TensorSpec
from ecg_trt.weights import weights_path, weights_sha256

_log = logging.getLogger(__name__)
_CREATED_BY = f"ecg_trt {__version__}"


@dataclass(frozen=True, slots=True)
class Request:
    """Specification of the plans to build.

    Attributes:
        specs: the networks.
        flavour: of TensorRT.
        trt: its module.
        capabilities: a plan of each network for each.
        precision: of all.
        store: where plans go.
        build: options of all; the capability and the precision of each plan take the place of its own.
        exported: folder of exported programs to build from, instead of the ONNX; None for the ONNX.
        is_verified: whether all is compared with the FP32 network on ONNX Runtime: the network before it is built, the
            plan before it is kept.
        open_engine: opens a plan on the GPU at hand, or answers None where that GPU cannot run it; None if there is no
            way to run plans here.
    """

    specs: tuple[NetworkSpec, ...]
    flavour: Flavour
    trt: ModuleType
    capabilities: tuple[str, ...]
    precision: Precision
    store: PlanStore
    build: BuildOptions = field(default_factory=BuildOptions)
    exported: Path | None = None
    is_verified: bool = True
    open_engine: Callable[[bytes, Manifest], AbstractContextManager[Backend] | None] | None = None

    @property
    def options(self) -> dict[str, str]:
        """Builder options that change a plan, beside its key and its shapes."""
        workspace = "all" if self.build.workspace_mib is None else str(self.build.workspace_mib)
        options = {"frontend": "torch" if self.exported else "onnx", "workspace_mib": workspace}
        # Defaults are left out: plans of former releases lack these entries.
        if self.build.optimization_level is not None:
            options["optimization_level"] = str(self.build.optimization_level)
        if self.build.is_version_compatible:
            options[VERSION_COMPATIBLE] = "yes"
        if self.build.has_layer_details:
            options["layer_details"] = "yes"
        return options


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one job.

    Attributes:
        key: of the plan.
        plan_bytes: its size, 0 if there is none.
        seconds: that building took, 0 if it was current.
        is_new: whether it was built now.
        comparison: with the FP32 network, if that was requested and the plan is new.
        compared: what was compared, "plan" or "ONNX", "" if nothing was.
        error: why there is no plan.
    """

    key: PlanKey
    plan_bytes: int = 0
    seconds: float = 0.0
    is_new: bool = False
    comparison: Comparison | None = None
    compared: str = ""
    error: EcgTrtError | None = None


def build(request: Request, start: Callable[[PlanKey], Progress]) -> Iterator[Outcome]:
    """Build the plans that are not current, network by network; a failure does not stop the others.

    Args:
        request: what.
        start: called before each plan that is built; the function that it returns is called with the progress.

    Raises:
        WeightsError: a network of the package is missing or altered.
    """
    for spec in request.specs:
        source, digest = _Source(weights_path(spec.name), spec, request), weights_sha256(spec.name)
        for capability in request.capabilities:
            key = PlanKey(spec.name, request.flavour, str(request.trt.__version__), capability,
                          request.precision.value, digest)  # fmt: skip
            current = _current(request, spec, key)
            if current is not None:
                yield Outcome(key, current.plan_bytes)
                continue
            try:
                yield _build_one(request, source, key, start(key))
            except EcgTrtError as error:
                yield Outcome(key, error=error)


def _build_one(request: Request, source: _Source, key: PlanKey, progress: Progress) -> Outcome:
    inputs, outputs = io_specs(source.onnx)
    _check_heads(source.spec, outputs)
    comparison, compared = (source.comparison, "ONNX") if request.is_verified else (None, "")
    begin = time.perf_counter()
    if request.exported is None:
        options = replace(
            request.build,
            capability=key.capability if request.flavour is Flavour.RTX or key.capability == ANY_CAPABILITY else None,
            is_fp16=request.precision is Precision.FP16,
        )
        plan = build_plan(source.onnx, request.trt, options, progress)
    else:
        program = request.exported / f"{key.stage}.{key.precision}.pt2"
        plan = plan_from_exported(program, source.path, inputs, outputs, request.build.workspace_mib)
    progress(1.0)
    manifest = Manifest(key, inputs, outputs, request.options, hashlib.sha256(plan).hexdigest(), len(plan), _CREATED_BY)
    seconds = time.perf_counter() - begin
    opened = request.open_engine(plan, manifest) if request.is_verified and request.open_engine else None
    if opened is not None:
        try:
            with opened as engine:
                comparison, compared = source.compare(engine), "plan"
        except BackendUnavailableError as error:  # The GPU's driver package is missing; the plan is good.
            _log.info("%s is not compared on the GPU: %s", key.name, error)
    request.store.save(manifest, plan)
    return Outcome(key, len(plan), seconds, True, comparison, compared)


def _check_heads(spec: NetworkSpec, outputs: tuple[TensorSpec, ...]) -> None:
    """Raise `BuildError` unless the network has the outputs that its spec describes."""
    found = [output.name for output in outputs]
    if set(found) != set(spec.heads):
        raise BuildError(
            f"The spec of {spec.name} does not describe its network", got=f"outputs {', '.join(found)}",
            expected=", ".join(spec.heads) or "none", hint="Correct its heads in ecg_trt/networks.py.",
        )  # fmt: skip


def _current(request: Request, spec: NetworkSpec, key: PlanKey) -> Manifest | None:
    """Read the manifest of an existing plan; None if anything has changed since it was built."""
    try:
        _, manifest = checked_plan(request.store.path(key), key)
    except PlanError:
        return None
    is_same = manifest.profile == spec.shapes and dict(manifest.options) == request.options
    return manifest if is_same and manifest.created_by == _CREATED_BY else None


class _Source:
    """One network's ONNX in the requested precision, and its comparison with FP32; each is made at first use."""

    def __init__(self, path: Path, spec: NetworkSpec, request: Request) -> None:
        self.path, self.spec, self.request = path, spec, request

    @cached_property
    def onnx(self) -> bytes:
        return export(self.path, self.request.precision, self.spec.shapes)

    @cached_property
    def comparison(self) -> Comparison:
        from ecg_trt.backends.ort import OrtBackend

        with OrtBackend(self.onnx) as candidate:
            return self.compare(candidate)

    def compare(self, candidate: Backend) -> Comparison:
        """Compare a candidate with the FP32 network."""
        from ecg_trt.backends.ort import OrtBackend

        with OrtBackend(self.path) as reference:
            return compare(reference, candidate, draw_feed(self.spec), self.spec)
