"""Model repository of NVIDIA Triton: a folder a network, and one for the whole way from a photo to a record.

Triton runs plans of TensorRT (flavour ``trt``), not of TensorRT for RTX. A network without such a plan is served from
the ONNX file that the package ships, by ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ecg_trt.backends.select import open_runtime
from ecg_trt.engines.manifest import Flavour, PlanKey
from ecg_trt.engines.store import PlanStore, checked_plan, serves
from ecg_trt.errors import BuildError
from ecg_trt.io.atomic import atomic_path, make_folder
from ecg_trt.networks import NetworkSpec
from ecg_trt.types import TensorSpec
from ecg_trt.weights import weights_path, weights_sha256

PIPELINE = "ecg_trt"  # Name of the model that takes a photo.

_TRITON_TYPES = {"bool": "BOOL", "uint8": "UINT8", "int32": "INT32", "int64": "INT64", "float16": "FP16",
                 "float32": "FP32", "bytes": "STRING"}  # fmt: skip
_PLAN, _ONNX = ("tensorrt_plan", "model.plan"), ("onnxruntime_onnx", "model.onnx")
_PIPELINE_INPUTS = TensorSpec("photo", "bytes", (1,)), TensorSpec("options", "bytes", (1,))
_PIPELINE_OUTPUTS = TensorSpec("record", "bytes", (1,)), TensorSpec("signal_mv", "float32", ("leads", "samples"))
_PIPELINE_CODE = '''"""From a photo to a record; the package does it all."""

from ecg_trt.distributed.triton_pipeline import PhotoPipeline as TritonPythonModel

__all__ = ["TritonPythonModel"]
'''
# An instance is a process of its own. Triton does not place it on a GPU; the package takes the one that it finds.
_PIPELINE_SETTINGS = """instance_group [ { count: 1 kind: KIND_CPU } ]
parameters [
  { key: "backend" value: { string_value: "auto" } },
  { key: "threads" value: { string_value: "0" } }
]
"""


@dataclass(frozen=True, slots=True)
class ServedNetwork:
    """One network as Triton serves it.

    Attributes:
        spec: of the network.
        plan: identity of its plan, None where the ONNX file is served.
        content: of the file.
        inputs: of the file; a length that is not a number is free.
        outputs: likewise.
    """

    spec: NetworkSpec
    plan: PlanKey | None
    content: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def platform(self) -> str:
        """Platform, as Triton calls it."""
        return (_PLAN if self.plan else _ONNX)[0]

    @property
    def file_name(self) -> str:
        """Name of the file within the folder of the version."""
        return (_PLAN if self.plan else _ONNX)[1]

    @property
    def config(self) -> str:
        """Text of config.pbtxt.

        The batch is an axis like the others (``max_batch_size: 0``), as plans have one static shape.
        """
        return _config(self.spec.name, f'platform: "{self.platform}"', self.inputs, self.outputs)


def choose_network(
    spec: NetworkSpec, store: PlanStore, precision: str = "fp16", capability: str | None = None
) -> ServedNetwork:
    """Choose the plan of a network that Triton shall serve, or its ONNX file where there is none.

    Args:
        spec: of the network.
        store: of the plans.
        precision: of the plan, "fp16" or "fp32".
        capability: compute capability of the GPU that will run the plan, such as "9.0"; any if None.

    Raises:
        BuildError: several plans would do.
        PlanError: the plan cannot be trusted.
        WeightsError: the network is missing or altered.
    """
    wanted = Flavour.TRT, precision, weights_sha256(spec.name)
    keys = [plan.manifest.key for plan in store.plans() if plan.manifest and plan.manifest.key.stage == spec.name]
    keys = [key for key in keys if (key.flavour, key.precision, key.onnx_sha256) == wanted]
    if capability is not None:
        exact = [key for key in keys if key.capability == capability]
        keys = exact or [key for key in keys if serves(key, capability)]
    if len(keys) > 1:
        raise BuildError(
            f"Several plans of {spec.name} could be served",
            got=", ".join(key.name for key in keys),
            expected="one in the store",
            hint="Name its GPU with --compute-capability, or keep the plans of each TensorRT apart with --out.",
        )
    if keys:
        content, manifest = checked_plan(store.path(keys[0]), keys[0])
        return ServedNetwork(spec, keys[0], content, manifest.inputs, manifest.outputs)
    content = weights_path(spec.name).read_bytes()
    with open_runtime("ort", networks=[spec.name]) as runtime:
        network = runtime.backend(spec.name)
        return ServedNetwork(spec, None, content, network.inputs, network.outputs)


def write_repository(folder: Path, networks: Sequence[ServedNetwork]) -> list[Path]:
    """Write a model repository: the networks, and the model `PIPELINE`. What is there of theirs is replaced.

    Returns:
        The folder of each model.

    Raises:
        OutputError: it could not be written.
    """
    folders = []
    for network in networks:
        files = {network.file_name: network.content}
        folders.append(_write_model(folder / network.spec.name, files, network.config))
    config = _config(PIPELINE, 'backend: "python"', _PIPELINE_INPUTS, _PIPELINE_OUTPUTS, optional=("options",))
    files = {"model.py": _PIPELINE_CODE.encode()}
    return [*folders, _write_model(folder / PIPELINE, files, config + _PIPELINE_SETTINGS)]


def _write_model(folder: Path, files: dict[str, bytes], config: str) -> Path:
    """Write a model of one version; its configuration comes last, as it stands for a whole model."""
    version = folder / "1"
    make_folder(version)
    for name, content in {**{f"1/{name}": content for name, content in files.items()},
                          "config.pbtxt": config.encode()}.items():  # fmt: skip
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(content)
    return folder


def _config(
    name: str, kind: str, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], optional: Sequence[str] = ()
) -> str:
    """Write a model's configuration as protobuf's text format has it."""
    ends = (("input", inputs), ("output", outputs))
    lists = [f"{end} [\n{_tensors(tensors, optional)}\n]\n" for end, tensors in ends]
    return f'name: "{name}"\n{kind}\nmax_batch_size: 0\n{"".join(lists)}'


def _tensors(tensors: Sequence[TensorSpec], optional: Sequence[str]) -> str:
    entries = []
    for tensor in tensors:
        dims = ", ".join(str(side if isinstance(side, int) else -1) for side in tensor.shape)
        flag = " optional: true" if tensor.name in optional else ""
        kind = _TRITON_TYPES[tensor.dtype]
        entries.append(f'  {{ name: "{tensor.name}" data_type: TYPE_{kind} dims: [ {dims} ]{flag} }}')
    return ",\n".join(entries)
