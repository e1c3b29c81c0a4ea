"""Networks by torch on the package's own stream: on the fake driver, whose memory is the host's, and on a GPU."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.throughput_suite.timed_driver import TimedDriver
from benchmarks.throughput_suite.torch_gpu import TorchNetwork, TorchOptions, open_torch_gpu
from build_engines.verify import draw_feed
from ecg_trt.backends.ort import OrtBackend
from ecg_trt.cuda.device import probe
from ecg_trt.cuda.select import open_driver
from ecg_trt.errors import BackendError, BackendUnavailableError
from ecg_trt.networks import READING_NETWORKS
from ecg_trt.ops.cuda_work import CudaWork
from ecg_trt.weights import weights_path
from tests.cuda.fake_driver import FakeDriver
from tests.marks import slow_but

torch = pytest.importorskip("torch")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDriver]:
    monkeypatch.setattr("ecg_trt.cuda.kernel_set.cubin", lambda file, capability: file.encode())
    driver = FakeDriver()
    yield driver
    assert driver.faults == [] and driver.live == {}


@pytest.mark.parametrize("stage", slow_but(["caption"], ["stage0", "caption"]))
def test_answers_are_those_of_onnx_runtime(fake: FakeDriver, stage: str) -> None:
    feed = draw_feed(READING_NETWORKS[stage])
    with OrtBackend(weights_path(stage)) as reference:
        expected = reference.infer(feed)
    with CudaWork(fake) as work, TorchNetwork(stage, work, TorchOptions("fp32", device="cpu")) as network:
        got = network.infer(feed)
        on_gpu = network.infer({"image": work.memory.upload("image", feed["image"])})
        (again,) = work.download(on_gpu[next(iter(expected))])
    assert set(got) == set(expected)
    assert max(float(np.abs(got[name] - expected[name]).max()) for name in expected) < 1e-3
    np.testing.assert_array_equal(again, got[next(iter(expected))])
    with pytest.raises(BackendError, match="closed"):
        network.infer(feed)


def test_without_cuda_the_reason_is_given(fake: FakeDriver) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(BackendUnavailableError, match="no CUDA"), open_torch_gpu(fake, TorchOptions()):
        pass


@pytest.mark.gpu
@pytest.mark.skipif(isinstance(probe(), str), reason="no GPU")
@pytest.mark.parametrize("uses_graphs", [True, False])
def test_networks_on_a_gpu(uses_graphs: bool) -> None:
    with TimedDriver(open_driver()) as driver, CudaWork(driver) as work:
        for stage, spec in READING_NETWORKS.items():
            feed = draw_feed(spec)
            with OrtBackend(weights_path(stage)) as reference:
                expected = reference.infer(feed)
            with TorchNetwork(stage, work, TorchOptions("fp16", uses_graphs)) as network:
                driver.take()
                got = network.infer(feed)
                assert driver.take()[stage] > 0
            for name, values in expected.items():
                assert float(np.abs(got[name] - values).mean()) < 0.01 * float(np.abs(values).max())
