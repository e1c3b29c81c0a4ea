"""A builder's side of `tensorrt`, in the shapes that its API has had; it writes down what is done to it."""

from __future__ import annotations

import types
from collections.abc import Collection
from enum import IntEnum
from typing import Any

PLAN = b"ftrt a plan"
CACHE = b"measured"
_COMPATIBLE = ["VERSION_COMPATIBLE", "EXCLUDE_LEAN_RUNTIME"]
_MEMBERS = {
    8: {
        "NetworkDefinitionCreationFlag": ["EXPLICIT_BATCH"],
        "BuilderFlag": ["FP16", "TF32", "OBEY_PRECISION_CONSTRAINTS", *_COMPATIBLE],
        "TacticSource": ["CUBLAS", "CUDNN", "EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"],
    },
    10: {
        "NetworkDefinitionCreationFlag": ["EXPLICIT_BATCH", "STRONGLY_TYPED"],
        "BuilderFlag": ["FP16", "TF32", *_COMPATIBLE],
        "TacticSource": ["CUBLAS", "CUDNN", "EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS"],
    },
    11: {
        "NetworkDefinitionCreationFlag": [],
        "BuilderFlag": ["TF32", *_COMPATIBLE],
        "TacticSource": ["JIT_CONVOLUTIONS"],
    },
}


_ATTRIBUTES = {  # of the builder's configuration
    "builder_optimization_level": 3,
    "hardware_compatibility_level": "NONE",
    "profiling_verbosity": "LAYER_NAMES_ONLY",
}


class Layer:
    """A layer that keeps the precision that it was given.

    Args:
        name: of the ONNX node that it stands for.
        kind: name of its type.
        inputs: name to type of its input tensors.
        outputs: name to type of its output tensors.
    """

    def __init__(self, name: str, kind: str, inputs: dict[str, str], outputs: dict[str, str]) -> None:
        self.name, self.type = name, types.SimpleNamespace(name=kind)
        self.precision: str | None = None
        self.output_types: dict[int, str] = {}
        self._inputs, self._outputs = (
            [types.SimpleNamespace(name=name, dtype=dtype) for name, dtype in ends.items()]
            for ends in (inputs, outputs)
        )
        self.num_inputs, self.num_outputs = len(inputs), len(outputs)

    def get_input(self, k: int) -> Any:
        return self._inputs[k]

    def get_output(self, k: int) -> Any:
        return self._outputs[k]

    def set_output_type(self, k: int, dtype: str) -> None:
        self.output_types[k] = dtype


class _Cache:
    def __init__(self, known: bytes) -> None:
        self.known = known

    def serialize(self) -> bytes:
        return self.known + CACHE


def make_tensorrt(version: str, fault: str = "", *, name: str = "tensorrt", lacks: Collection[str] = ()) -> Any:
    """A module like `tensorrt` of a version.

    Args:
        version: "8.6.0", "10.13.0" or "11.1.0"; a majority of its members follows from it.
        fault: "builder", "parse", "build", "cache" or "interrupt": what goes wrong.
        name: of the module.
        lacks: members of the module, its enumerations or the builder's configuration that the version does not have.
    """
    trt = types.ModuleType(name)
    trt.__version__ = version  # type: ignore[attr-defined]
    seen: dict[str, Any] = {"flags": set(), "tactics": None, "pool": {}, "steps": [], "layers": []}
    trt.seen = seen  # type: ignore[attr-defined]
    major = int(version.split(".")[0])
    for enum, members in _MEMBERS[major].items():
        setattr(trt, enum, IntEnum(enum, [member for member in members if member not in lacks], start=0))
    trt.float32, trt.float16 = "float32", "float16"  # type: ignore[attr-defined]
    trt.MemoryPoolType = types.SimpleNamespace(WORKSPACE="workspace")  # type: ignore[attr-defined]

    levels = types.SimpleNamespace(AMPERE_PLUS="AMPERE_PLUS")
    trt.HardwareCompatibilityLevel = levels  # type: ignore[attr-defined]
    trt.ProfilingVerbosity = types.SimpleNamespace(DETAILED="DETAILED")  # type: ignore[attr-defined]

    class ILogger:
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    class IProgressMonitor:
        pass

    class Config:
        progress_monitor: Any = None

        def __init__(self) -> None:
            seen["config"] = self
            for attribute, value in _ATTRIBUTES.items():
                if attribute not in lacks:
                    setattr(self, attribute, value)

        def set_memory_pool_limit(self, pool: str, limit: int) -> None:
            seen["pool"][pool] = limit

        def set_flag(self, flag: IntEnum) -> None:
            seen["flags"].add(flag.name)

        def clear_flag(self, flag: IntEnum) -> None:
            seen["flags"].discard(flag.name)
            seen["flags"].add(f"no {flag.name}")

        def set_tactic_sources(self, sources: int) -> None:
            seen["tactics"] = sources

        def create_timing_cache(self, known: bytes) -> _Cache | None:
            return None if fault == "cache" and known else _Cache(known)

        def set_timing_cache(self, cache: _Cache, ignore_mismatch: bool) -> bool:
            assert not ignore_mismatch
            self.cache = cache
            return True

        def get_timing_cache(self) -> _Cache:
            return self.cache

    class Builder:
        def __init__(self, logger: Any) -> None:
            self.logger = logger
            if fault == "builder":
                raise TypeError("pybind11::init(): factory function returned nullptr")

        def create_network(self, flags: int) -> Any:
            kinds = trt.NetworkDefinitionCreationFlag  # type: ignore[attr-defined]
            seen["network"] = {kind.name for kind in kinds if flags >> int(kind) & 1}
            layers = seen["layers"]
            return types.SimpleNamespace(num_outputs=1, num_layers=len(layers), get_layer=layers.__getitem__)

        def create_builder_config(self) -> Config:
            return Config()

        def build_serialized_network(self, network: Any, config: Config) -> bytes | None:
            seen["on_build"] = seen["while_building"]() if "while_building" in seen else None
            monitor = config.progress_monitor
            if monitor is not None:
                monitor.phase_start("all", None, 2)
                monitor.phase_start("half", "all", 2)
                seen["steps"] += [monitor.step_complete("half", 0), monitor.step_complete("half", 1)]
                monitor.phase_finish("half")
                seen["steps"] += [monitor.step_complete("all", 0), monitor.step_complete("all", 1)]
                monitor.phase_finish("all")
            if fault == "build":
                self.logger.log(ILogger.WARNING, "never mind")
                self.logger.log(ILogger.ERROR, "no tactic\n for  node 7")
            return None if fault in ("build", "interrupt") else PLAN

    class OnnxParser:
        num_errors = 1

        def __init__(self, network: Any, logger: Any) -> None:
            logger.log(ILogger.VERBOSE, "a word on every layer")

        def parse(self, onnx: bytes) -> bool:
            return fault != "parse"

        def get_error(self, k: int) -> Any:
            return types.SimpleNamespace(desc=lambda: "no importer for Nonsense")

    kinds: list[Any] = [ILogger, Builder, OnnxParser] + [IProgressMonitor] * (major > 8)
    for kind in kinds:
        setattr(trt, kind.__name__, kind)
    for member in lacks:
        vars(trt).pop(member, None)
    return trt
