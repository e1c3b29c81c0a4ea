"""Manifest: the identity of a plan as JSON beside it, as nothing can be read from a plan without a GPU."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ecg_trt.str_enum import StrEnum
from ecg_trt.types import TensorSpec

FORMAT = 1
ANY_CAPABILITY = "any"  # a plan for every GPU from 8.0 on
VERSION_COMPATIBLE = "version_compatible"  # builder option of plans that the lean runtime loads


class Flavour(StrEnum):
    """Flavour of TensorRT that builds and runs a plan."""

    TRT = "trt"
    RTX = "rtx"

    @property
    def module(self) -> str:
        """Name of the Python module."""
        return {"trt": "tensorrt", "rtx": "tensorrt_rtx"}[self.value]

    @property
    def runtime_modules(self) -> tuple[str, ...]:
        """Names of the Python modules that run its plans, the first that there is; the lean runtime builds none."""
        return {"trt": ("tensorrt", "tensorrt_lean"), "rtx": ("tensorrt_rtx",)}[self.value]

    @property
    def magic(self) -> tuple[bytes, ...]:
        """First bytes of its plans: those of current versions, then those of older ones (TensorRT 8.5: "ptrt")."""
        return {"trt": (b"ftrt", b"ptrt"), "rtx": (b"vtrt",)}[self.value]

    def installed_version(self) -> str | None:
        """Find the version of the installed distribution, None if there is none; nothing is imported."""
        return _distribution_version(self.module)

    def lean_version(self) -> str | None:
        """Find the version of its lean runtime, None if there is none; nothing is imported."""
        return _distribution_version("tensorrt_lean") if self is Flavour.TRT else None


def _distribution_version(module: str) -> str | None:
    name = module.replace("_", "-")
    for distribution in (name, f"{name}-cu13", f"{name}-cu12"):
        with suppress(PackageNotFoundError):
            return version(distribution)
    return None


@dataclass(frozen=True, slots=True)
class PlanKey:
    """Identity of a plan: everything that it must have been built for.

    Attributes:
        stage: name of the network.
        flavour: of TensorRT.
        version: of TensorRT, in full: a plan runs on the very version that built it, or on its lean runtime.
        capability: compute capability of the GPU, for example "8.6", or `ANY_CAPABILITY`.
        precision: "fp16" or "fp32".
        onnx_sha256: of the shipped FP32 ONNX.
    """

    stage: str
    flavour: Flavour
    version: str
    capability: str
    precision: str
    onnx_sha256: str

    @property
    def name(self) -> str:
        """File name of the plan."""
        capability = self.capability if self.capability == ANY_CAPABILITY else f"sm{self.capability.replace('.', '')}"
        parts = (self.stage, f"{self.flavour}-{self.version}", capability, self.precision, self.onnx_sha256[:12])
        return "_".join(parts) + ".plan"

    @property
    def build_line(self) -> str:
        """Command that builds this plan."""
        line = f"ecg-trt build --flavour {self.flavour} --precision {self.precision} --stage {self.stage}"
        if self.flavour is Flavour.RTX:
            return f"{line} --compute-capability {self.capability}"
        return f"{line} --hardware-compat ampere+" if self.capability == ANY_CAPABILITY else line


@dataclass(frozen=True, slots=True)
class Manifest:
    """Manifest of a plan.

    Attributes:
        key: what the plan was built for.
        inputs: of the plan, static shapes: its one optimization profile.
        outputs: of the plan.
        options: of the builder, as far as they change the plan.
        plan_sha256: of the plan.
        plan_bytes: its size.
        created_by: name and version of what built it.
    """

    key: PlanKey
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    options: Mapping[str, str]
    plan_sha256: str
    plan_bytes: int
    created_by: str

    @property
    def profile(self) -> dict[str, tuple[int, ...]]:
        """Input name to static shape."""
        return {spec.name: tuple(int(side or 0) for side in spec.shape) for spec in self.inputs}

    @property
    def is_version_compatible(self) -> bool:
        """Decide if the lean runtime of `key.version` loads the plan, too: alone, or for a later TensorRT."""
        return self.options.get(VERSION_COMPATIBLE) == "yes"

    def to_json(self) -> str:
        """Serialize the manifest as JSON."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Parse the JSON that `to_json` made.

        Raises:
            ValueError: anything else.
        """
        try:
            content = json.loads(text)
            if content.pop("format") != FORMAT:
                raise ValueError("another format")
            content["key"] = _key(content["key"])
            for ends in ("inputs", "outputs"):
                content[ends] = tuple(_tensor(entry) for entry in content[ends])
            content["options"] = {str(name): str(value) for name, value in content["options"].items()}
            content["plan_bytes"] = int(content["plan_bytes"])
            return cls(**content)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error


def _key(content: Mapping[str, Any]) -> PlanKey:
    if not all(isinstance(value, str) for value in content.values()):
        raise TypeError("a key of other things than texts")
    return PlanKey(**{**content, "flavour": Flavour(content["flavour"])})


def _tensor(entry: Mapping[str, Any]) -> TensorSpec:
    """Parse an input or output tensor of static shape."""
    return TensorSpec(str(entry["name"]), str(entry["dtype"]), tuple(int(side) for side in entry["shape"]))
