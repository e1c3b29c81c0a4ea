"""Model of Triton's Python backend that takes a photo; Triton's process alone imports it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from ecg_trt.config import AUTO, ReadOptions, RuntimeOptions
from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import EcgTrtError, OptionError
from ecg_trt.io.writers.json import record_as_dict


class PhotoPipeline:
    """Whole way from a photo to a record, as Triton's Python backend calls it.

    Inputs: ``photo``, the bytes of a file; ``options``, if given, JSON of `ReadOptions` by name, and of ``page`` for a
    file of several pages. Outputs: ``record``, JSON of all but the samples; ``signal_mv``, (leads, samples) FP32, mV,
    NaN where nothing is printed or seen. The error of a photo is that of its request.
    """

    def initialize(self, args: Mapping[str, str]) -> None:
        """Open the networks.

        Args:
            args: of the model; ``model_config`` is its configuration in JSON, whose parameters ``backend`` and
                ``threads`` are those of `RuntimeOptions`.
        """
        given = json.loads(args["model_config"]).get("parameters", {})
        value = {name: entry["string_value"] for name, entry in given.items()}
        runtime_options = RuntimeOptions(backend=value.get("backend", AUTO), threads=int(value.get("threads", 0)))
        self._triton: Any = import_module("triton_python_backend_utils")
        self._digitizer = Digitizer(runtime_options)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer requests, each by itself."""
        return [self._answer(request) for request in requests]

    def finalize(self) -> None:
        """Close the networks."""
        self._digitizer.close()

    def _answer(self, request: Any) -> Any:
        """Digitize the photo of a request."""
        triton = self._triton
        photo, given = (triton.get_input_tensor_by_name(request, name) for name in ("photo", "options"))
        try:
            options, page = _options("{}" if given is None else given.as_numpy().item().decode("utf-8", "replace"))
            record = self._digitizer(photo.as_numpy().item(), options, page=page)
        except EcgTrtError as error:
            return triton.InferenceResponse(error=triton.TritonError(f"{type(error).__name__}: {error}"))
        text = json.dumps(record_as_dict(record), ensure_ascii=False, allow_nan=False)
        described = triton.Tensor("record", np.array([text.encode()], object))
        return triton.InferenceResponse([described, triton.Tensor("signal_mv", record.signal_mv)])


def _options(text: str) -> tuple[ReadOptions, int | None]:
    """Parse the options of a request, and the page that it wants.

    Raises:
        OptionError: no JSON of options, or one outside its range.
    """
    try:
        given = dict(json.loads(text))
        page = given.pop("page", None)
        return ReadOptions(**given), None if page is None else int(page)
    except OptionError:
        raise
    except (TypeError, ValueError) as error:
        raise OptionError(
            "The options of this photo cannot be used",
            got=f"{text} ({error})",
            expected='an object such as {"speed": 50, "fs": 250, "page": 2}',
            hint="docs/api.md lists the options.",
        ) from error
