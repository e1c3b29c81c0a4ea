"""The package's networks by ONNX Runtime's CUDA provider, as a `Backend` for the same `Digitizer`."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from benchmarks.throughput_suite.torch_backend import milliseconds_between, unavailable
from ecg_trt.backends.base import check_feed, closed_error
from ecg_trt.closeable import Closeable
from ecg_trt.types import Array
from ecg_trt.weights import weights_path


class OrtCudaBackend(Closeable):
    """One network by ONNX Runtime with a provider other than the package's, bound so that copies are distinguished.

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
        self.last_ms = dict(zip(("h2d", self.stage, "d2h"), milliseconds_between(marks), strict=True))
        return dict(zip((spec.name for spec in self.outputs), values, strict=True))

    def close(self) -> None:
        """Free the session."""
        self._session = None
