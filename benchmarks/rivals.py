"""The same networks in other hands: PyTorch and ONNX Runtime's CUDA provider, as `Backend`s for the same `Digitizer`.

The package ships its weights as ONNX alone; `train.models.shipped` brings them back to PyTorch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ecg_trt.backends.base import TensorSpec, check_feed, closed_error
from ecg_trt.closing import Closing
from ecg_trt.errors import BackendUnavailableError
from ecg_trt.types import Array
from ecg_trt.weights import weights_path

_MOST_SHAPES = 64  # that torch.compile may see before it gives up compiling


class TorchBackend(Closing):
    """One network by PyTorch: numpy in, numpy out. On CUDA channels come last, cuDNN picks its algorithms by measuring.

    Args:
        stage: for example "stage0".
        device: "cuda" or "cpu".
        precision: "fp32" (on CUDA with TF32, torch's choice), or "fp16" as in a plan: FP32 at both ends.
        compiled: a mode of torch.compile, "" for none. Every new shape is compiled anew.

    Attributes:
        last_ms: of the last run: "h2d", the stage, "d2h"; on CUDA by events.

    Raises:
        BackendUnavailableError: torch or onnx is not installed, or the device is not to be had.
        WeightsError: the ONNX and the module are not of one make.
    """

    def __init__(self, stage: str, device: str = "cuda", precision: str = "fp32", compiled: str = "") -> None:
        try:
            import torch

            from train.export import halve
            from train.models.shipped import load_folded

            if device == "cuda" and not torch.cuda.is_available():
                raise unavailable("torch", "no CUDA")
            model = load_folded(stage)
        except ImportError as error:
            raise unavailable("torch", f"{error.name} is not installed") from error
        self.name = "-".join(["torch", "compile" if compiled else "eager", precision])
        self.inputs = (TensorSpec("image", "uint8", ("n", "h", "w", 3)),)
        spec = model.spec
        names = [name for name, _ in spec.heads] + ([spec.column_head] if spec.column_head else [])
        self.outputs = tuple(TensorSpec(name, "float32", ("n",)) for name in names)
        self.stage, self.last_ms = stage, dict[str, float]()
        if precision == "fp16":
            halve(model)
        self._torch, self._device = torch, device
        self._model: Any = model.to(device)
        if device == "cuda":
            torch.backends.cudnn.benchmark = True
            self._model = self._model.to(memory_format=torch.channels_last)
        if compiled:
            torch._dynamo.config.recompile_limit = _MOST_SHAPES
            self._model = torch.compile(self._model, mode=compiled, dynamic=False)

    def infer(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """See `Backend.infer`."""
        if self._model is None:
            raise closed_error(self.name)
        check_feed(self.inputs, feed)
        torch = self._torch
        with torch.inference_mode():
            marks = [self._mark()]
            image = torch.from_numpy(np.ascontiguousarray(feed["image"])).to(self._device)
            marks.append(self._mark())
            out = self._model(image)
            marks.append(self._mark())
            host = {name: value.float().cpu().numpy() for name, value in out.items()}
            marks.append(self._mark())
        self.last_ms = dict(zip(("h2d", self.stage, "d2h"), _between(marks), strict=True))
        return host

    def _mark(self) -> Any:
        if self._device != "cuda":
            return time.perf_counter()
        event = self._torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def close(self) -> None:
        """Frees the network, and the memory that torch holds back."""
        self._model = None
        if self._device == "cuda":
            self._torch.cuda.empty_cache()


class OrtRival(Closing):
    """One network by ONNX Runtime with a provider other than the package's, bound so that copies are told apart.

    Args:
        stage: for example "stage0".
        device: "cuda" or "cpu".

    Attributes:
        last_ms: of the last run: "h2d", the stage, "d2h", by the host's clock, which waits for each.

    Raises:
        BackendUnavailableError: this ONNX Runtime lacks the provider, or it does not start.
    """

    def __init__(self, stage: str, device: str = "cuda") -> None:
        import onnxruntime as ort

        from ecg_trt.backends.ort import OrtBackend

        provider = {"cuda": "CUDAExecutionProvider", "cpu": "CPUExecutionProvider"}[device]
        if provider not in ort.get_available_providers():
            raise unavailable("ort-cuda", f"this onnxruntime {ort.__version__} has no {provider}")
        options = ort.SessionOptions()
        options.log_severity_level = 3
        path = weights_path(stage)
        session = ort.InferenceSession(str(path), sess_options=options, providers=[provider])
        if session.get_providers()[0] != provider:
            raise unavailable("ort-cuda", f"{provider} does not start here")
        with OrtBackend(path, 1) as plain:
            self.inputs, self.outputs = plain.inputs, plain.outputs
        self.name, self.stage, self.last_ms = f"ort-{device}", stage, dict[str, float]()
        self._ort, self._device, self._session = ort, device, session

    def infer(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """See `Backend.infer`."""
        if self._session is None:
            raise closed_error(self.name)
        check_feed(self.inputs, feed)
        marks = [time.perf_counter()]
        binding = self._session.io_binding()
        held = []
        for name, array in feed.items():
            held.append(self._ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self._device, 0))
            binding.bind_ortvalue_input(name, held[-1])
        for spec in self.outputs:
            binding.bind_output(spec.name, self._device, 0)
        binding.synchronize_inputs()
        marks.append(time.perf_counter())
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        marks.append(time.perf_counter())
        values = binding.copy_outputs_to_cpu()
        marks.append(time.perf_counter())
        self.last_ms = dict(zip(("h2d", self.stage, "d2h"), _between(marks), strict=True))
        return dict(zip((spec.name for spec in self.outputs), values, strict=True))

    def close(self) -> None:
        """Frees the session."""
        self._session = None


def _between(marks: Sequence[Any]) -> list[float]:
    """Milliseconds from each mark to the next."""
    if isinstance(marks[0], float):
        return [1e3 * (b - a) for a, b in pairwise(marks)]
    marks[-1].synchronize()
    return [a.elapsed_time(b) for a, b in pairwise(marks)]


def unavailable(name: str, reason: str) -> BackendUnavailableError:
    """The error of a rival that is not to be had here."""
    return BackendUnavailableError(f"{name} cannot be measured", got=reason, expected="what it needs installed",
                                   mend="Leave it out with --backends.")  # fmt: skip
