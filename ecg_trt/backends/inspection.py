"""Layers, precisions and memory of a plan, as TensorRT reports them where it can load the plan."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ecg_trt.backends.engine import Engine
from ecg_trt.cuda.select import open_driver
from ecg_trt.engines.manifest import Manifest, PlanKey
from ecg_trt.engines.store import checked_plan, read_manifest, serves
from ecg_trt.engines.tensorrt_module import import_tensorrt, loadable_versions
from ecg_trt.errors import BackendUnavailableError, DeviceError, PlanMismatchError, PlanMissingError


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of an engine, in TensorRT's words.

    Attributes:
        name: the layers of the network that were fused into it.
        kind: its type; "" in a plan that was built without layer details.
        formats: memory format and data type of its outputs, such as "Row major linear FP16 format"; "" likewise.
    """

    name: str
    kind: str = ""
    formats: str = ""


@dataclass(frozen=True, slots=True)
class Inspection:
    """Contents of a plan.

    Attributes:
        manifest: of the plan.
        device_bytes: device memory of an execution context's activations; None if the plan was not loaded.
        layers: of the engine; None likewise.
        why_not: why the plan was not loaded; "" if it was.
    """

    manifest: Manifest
    device_bytes: int | None = None
    layers: tuple[Layer, ...] | None = None
    why_not: str = ""


def inspect_plan(path: Path) -> Inspection:
    """Check a plan against its manifest, and load it if the GPU and the TensorRT at hand can.

    Raises:
        PlanMissingError: there is no such file.
        PlanError: the plan cannot be trusted.
    """
    if not path.is_file():
        raise PlanMissingError(
            f"There is no plan {path.name}", got=f"no such file in {path.parent}",
            expected="a plan's file, or its name in the store", hint="ecg-trt engines list shows the names.",
        )  # fmt: skip
    plan, manifest = checked_plan(path, read_manifest(path).key)
    try:
        with ExitStack() as stack:
            driver = open_driver()
            stack.callback(driver.close)
            trt = import_tensorrt(manifest.key.flavour)
            versions = loadable_versions(manifest.key.flavour, trt)
            why_not = _why_not(manifest.key, versions, driver.device.compute_capability)
            if why_not:
                return Inspection(manifest, why_not=why_not)
            engine = stack.enter_context(Engine(trt, plan, manifest, driver))
            layers = tuple(map(parse_layer, engine.layer_texts()))
            return Inspection(manifest, engine.device_bytes, layers)
    except (BackendUnavailableError, DeviceError, PlanMismatchError) as error:
        return Inspection(manifest, why_not=error.got)


def _why_not(key: PlanKey, versions: Collection[str], capability: str) -> str:
    """Explain why a plan cannot be loaded by this TensorRT on this GPU; "" if it can."""
    if key.version not in versions:
        return f"{key.flavour} {' and '.join(versions)} is installed, the plan is of {key.version}"
    return "" if serves(key, capability) else f"a GPU of {capability}, the plan is for {key.capability}"


def parse_layer(text: str) -> Layer:
    """Parse what TensorRT's inspector reports on a layer: an object, or the name alone."""
    try:
        content = json.loads(text)
    except ValueError:  # Some versions write the name without quotes.
        content = text.strip()
    if not isinstance(content, dict):
        return Layer(str(content))
    formats = dict.fromkeys(str(tensor.get("Format/Datatype", "?")) for tensor in content.get("Outputs", ()))
    return Layer(str(content.get("Name", "?")), str(content.get("LayerType", "")), ", ".join(formats))
