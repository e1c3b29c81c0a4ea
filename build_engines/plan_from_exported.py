"""Build of a plan from an exported PyTorch program, through torch-tensorrt: the second front end.

The package ships ONNX, whose weights are folded and renamed; no PyTorch network can be filled from it. So this front
end takes what a training environment can make: one exported program a network, `<stage>.<precision>.pt2`, with the
precision in its graph (`python -m train.export --exported DIR`). Before it is built, the program is compared with the
shipped ONNX, so that the ONNX's hash in the plan's manifest stays true.

torch-tensorrt can be imported on a machine with a GPU only, so it is imported here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ecg_trt.errors import BackendUnavailableError, BuildError, first_line
from ecg_trt.types import TensorSpec

_TOLERANCE = 0.02  # Share of an output's greatest value; FP16 alone causes less than 0.002.


def plan_from_exported(
    program: Path,
    source: Path,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    workspace_mib: int | None = None,
) -> bytes:
    """Build one plan on the GPU at hand.

    Args:
        program: an exported program, saved by `torch.export.save`.
        source: the FP32 ONNX that it is another form of.
        inputs: of the plan.
        outputs: of the plan.
        workspace_mib: most scratch memory of a tactic, MiB; None for all there is.

    Returns:
        The plan, its I/O tensors named as in the ONNX.

    Raises:
        BackendUnavailableError: PyTorch or torch-tensorrt cannot be imported.
        BuildError: no such program, another network, or torch-tensorrt rejects it.
    """
    torch, torch_tensorrt = _import("torch"), _import("torch_tensorrt")
    try:
        exported = torch.export.load(program)
    except Exception as error:  # Errors of zip, pickle and torch share no base class.
        raise _cannot(f"{program} ({first_line(error)})", "an exported program", _EXPORT) from error
    check_program(exported.module(), source, inputs, program)
    feed = tuple(torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype)).cuda() for spec in inputs)
    try:
        plan = torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
            exported,
            arg_inputs=feed,
            arg_input_binding_names=tuple(spec.name for spec in inputs),
            output_binding_names=tuple(spec.name for spec in outputs),
            require_full_compilation=True,
            disable_tf32=True,
            workspace_size=(workspace_mib or 0) << 20,
        )
    except Exception as error:
        raise _cannot(first_line(error), "a program that torch-tensorrt can build", "Use --frontend onnx.") from error
    return bytes(plan)


def check_program(module: Any, source: Path, inputs: Sequence[TensorSpec], program: Path) -> None:
    """Compare a program with the ONNX it claims to be, on random input.

    Raises:
        BuildError: they differ.
    """
    import torch

    from ecg_trt.backends.ort import OrtBackend

    rng = np.random.default_rng(0)
    feed = {
        spec.name: rng.integers(0, 256, tuple(int(side or 0) for side in spec.shape)).astype(spec.dtype)
        for spec in inputs
    }
    with OrtBackend(source) as backend:
        expected = backend.infer(feed)
        names = [spec.name for spec in backend.outputs]
    with torch.no_grad():
        answers = module(*(torch.from_numpy(array) for array in feed.values()))
    if len(answers) != len(names):
        raise _cannot(f"{program} with {len(answers)} outputs", f"the {len(names)} of {source.name}", _EXPORT)
    for name, answer in zip(names, answers, strict=True):
        scale, got = float(np.abs(expected[name]).max()), answer.float().numpy()
        if got.shape != expected[name].shape or np.abs(got - expected[name]).max() > _TOLERANCE * scale:
            raise _cannot(f"{program}, whose {name} differs", f"the network of {source.name}", _EXPORT)


_EXPORT = "Make it anew from the same weights: python -m train.export --exported DIR"


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except Exception as error:  # Without a GPU torch-tensorrt fails in many ways.
        raise BackendUnavailableError(
            "--frontend torch cannot be used",
            got=f"{name} cannot be imported ({first_line(error)})",
            expected="PyTorch and torch-tensorrt 2.14 or later, and a GPU",
            hint='Run: pip install "torch-tensorrt>=2.14", or use --frontend onnx, which needs neither.',
        ) from error


def _cannot(got: str, expected: str, hint: str) -> BuildError:
    return BuildError("The exported program cannot be built", got=got, expected=expected, hint=hint)
