"""The package's networks by PyTorch, as a `Backend` for the same `Digitizer`.

The package ships its weights as ONNX alone; `train.models.shipped` brings them back to PyTorch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ecg_trt.backends.base import check_feed, closed_error
from ecg_trt.closeable import Closeable
from ecg_trt.errors import BackendUnavailableError
from ecg_trt.networks import READING_NETWORKS
from ecg_trt.types import Array, TensorSpec


def prepare_network(stage: str, device: str = "cuda", precision: str = "fp32", compiled: str = "") -> Any:
    """Load a network as torch runs it fastest: channels last, cuDNN's algorithms chosen by measuring.

    Arguments and errors are those of `TorchBackend`; ImportError where torch or onnx is not installed.
    """
    import torch

    from train.export import halve
    from train.models.shipped import load_folded

    model: Any = load_folded(stage)
    if precision == "fp16":
        halve(model)
    model = model.to(device)
    if device == "cuda":
        torch.backends.cudnn.benchmark = True
        model = model.to(memory_format=torch.channels_last)
    return torch.compile(model, mode=compiled, dynamic=False) if compiled else model


class TorchBackend(Closeable):
    """One network by PyTorch: numpy in, numpy out. On CUDA channels come last, cuDNN picks its algorithms by measuring.

    Args:
        stage: for example "stage0".
        device: "cuda" or "cpu".
        precision: "fp32" (on CUDA with TF32, torch's choice), or "fp16" as in a plan: FP32 at both ends.
        compiled: a mode of torch.compile, "" for none. torch.compile works for one shape, and would compile anew for
            every page; so a compiled network takes the shape of its plan alone, and the stages pad their images to it.

    Attributes:
        last_ms: of the last run: "h2d", the stage, "d2h"; on CUDA by events.

    Raises:
        BackendUnavailableError: torch or onnx is not installed, or the device is not available.
        WeightsError: the ONNX and the module are not of one make.
    """

    def __init__(self, stage: str, device: str = "cuda", precision: str = "fp32", compiled: str = "") -> None:
        try:
            import torch

            if device == "cuda" and not torch.cuda.is_available():
                raise unavailable("torch", "no CUDA")
            self._model = prepare_network(stage, device, precision, compiled)
        except ImportError as error:
            raise unavailable("torch", f"{error.name} is not installed") from error
        self.name = "-".join(["torch", "compile" if compiled else "eager", precision])
        shape = READING_NETWORKS[stage].shapes["image"] if compiled else ("n", "h", "w", 3)
        self.inputs = (TensorSpec("image", "uint8", shape),)
        self.outputs = tuple(TensorSpec(name, "float32", ("n",)) for name in READING_NETWORKS[stage].heads)
        self.stage, self.last_ms = stage, dict[str, float]()
        self._device = device
        self._torch: Any = torch

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
        self.last_ms = dict(zip(("h2d", self.stage, "d2h"), milliseconds_between(marks), strict=True))
        return host

    def _mark(self) -> Any:
        if self._device != "cuda":
            return time.perf_counter()
        event = self._torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def close(self) -> None:
        """Free the network, and the memory that torch holds back."""
        self._model = None
        if self._device == "cuda":
            self._torch.cuda.empty_cache()


def milliseconds_between(marks: Sequence[Any]) -> list[float]:
    """Milliseconds from each mark to the next."""
    if isinstance(marks[0], float):
        return [1e3 * (b - a) for a, b in pairwise(marks)]
    marks[-1].synchronize()
    return [a.elapsed_time(b) for a, b in pairwise(marks)]


def unavailable(name: str, reason: str) -> BackendUnavailableError:
    """The error of a baseline that is not available here."""
    return BackendUnavailableError(f"{name} cannot be measured", got=reason, expected="what it needs installed",
                                   hint="Leave it out with --backends.")  # fmt: skip
