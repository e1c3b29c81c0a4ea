"""Where plans can be run, the plan itself is compared before it is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from build_engines.export import Precision
from build_engines.jobs import Request, build
from ecg_trt.backends.base import Backend
from ecg_trt.backends.fake import FakeBackend
from ecg_trt.backends.ort import OrtBackend
from ecg_trt.engines.manifest import Flavour, Manifest
from ecg_trt.engines.store import PlanStore
from ecg_trt.errors import BackendUnavailableError, BuildError
from ecg_trt.networks import NETWORKS
from ecg_trt.types import Array
from ecg_trt.weights import weights_path
from tests.build_engines.fake_builder import PLAN, make_tensorrt


def open_plan(error: float, opened: list[Backend]) -> Backend:
    """A backend that stands for a loaded plan of stage 0, and is off by a share of each output."""
    network = OrtBackend(weights_path("stage0"), 1)

    def infer(feed: Mapping[str, Array]) -> dict[str, Array]:
        return {name: array + np.float32(error) * np.abs(array).max() for name, array in network.infer(feed).items()}

    opened.append(FakeBackend(infer))
    return opened[-1]


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    trt = make_tensorrt("10.13.0")
    return Request((NETWORKS["stage0"],), Flavour.TRT, trt, ("9.0",), Precision.FP16, PlanStore(tmp_path))


@pytest.mark.parametrize("error", [0.01, 0.1])
def test_the_plan_itself_is_compared(request_: Request, error: float) -> None:
    opened: list[Backend] = []
    seen: list[tuple[bytes, Manifest]] = []

    def open_engine(plan: bytes, manifest: Manifest) -> Backend:
        seen.append((plan, manifest))
        return open_plan(error, opened)

    (outcome,) = build(replace(request_, open_engine=open_engine), lambda key: lambda share: None)
    assert [plan for plan, _ in seen] == [PLAN] and seen[0][1].profile == NETWORKS["stage0"].shapes
    if error < 0.02:
        assert outcome.compared == "plan" and outcome.comparison is not None
        assert outcome.comparison.worst.max == pytest.approx(error * outcome.comparison.worst.scale, rel=1e-3)
        assert request_.store.load(outcome.key)[0] == PLAN
    else:
        assert isinstance(outcome.error, BuildError)
        assert request_.store.plans() == []
    with pytest.raises(Exception, match="closed"):
        opened[0].infer({})


def test_a_gpu_that_cannot_run_the_plan_leaves_the_onnx_compared(request_: Request) -> None:
    (outcome,) = build(replace(request_, open_engine=lambda plan, manifest: None), lambda key: lambda share: None)
    assert outcome.compared == "ONNX" and outcome.is_new
    (again,) = build(request_, lambda key: lambda share: None)
    assert not again.is_new and again.compared == ""


def test_a_plan_is_kept_where_the_gpu_cannot_be_driven(request_: Request) -> None:
    @contextmanager
    def open_engine(plan: bytes, manifest: Manifest) -> Iterator[Backend]:
        raise BackendUnavailableError("No driver", got="no cuda-core", expected="it", hint="Get it.")
        yield

    (outcome,) = build(replace(request_, open_engine=open_engine), lambda key: lambda share: None)
    assert outcome.compared == "ONNX" and outcome.error is None
    assert request_.store.load(outcome.key)[0] == PLAN
