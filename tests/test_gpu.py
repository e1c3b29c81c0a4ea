"""On a real GPU with plans built for it (`ecg-trt build`, then `pytest -m gpu`): the same signal as on the CPU."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ecg_trt.backends.select import open_runtime
from ecg_trt.batch import digitize_many
from ecg_trt.cuda.device import DeviceInfo, probe
from ecg_trt.digitizer import Digitizer
from ecg_trt.errors import BackendError
from ecg_trt.metrics import score_record
from ecg_trt.record import EcgRecord
from ecg_trt.synth.sample import make_sample
from tests.plain_page import PLAIN

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not isinstance(probe(), DeviceInfo), reason="no NVIDIA GPU"),
]
SEEDS = (21, 22, 104)


@pytest.fixture(scope="module", params=["trt", "rtx"])
def gpu(request: pytest.FixtureRequest) -> Iterator[Digitizer]:
    try:
        runtime = open_runtime(request.param)
    except BackendError as error:
        pytest.skip(str(error))
    with runtime, Digitizer(runtime=runtime) as digitizer:
        yield digitizer


def test_as_good_as_the_cpu_and_the_same(gpu: Digitizer, digitizer: Digitizer) -> None:
    loss = []
    for seed in SEEDS:
        image, truth = make_sample(seed, width_px=3456, severity=0.3, **PLAIN)
        cpu, got = digitizer(image), gpu(image)
        scores = [score_record(truth.signal_mv, truth.fs, r.signal_mv, r.fs).snr_db for r in (cpu, got)]
        loss.append(scores[0] - scores[1])
        assert score_record(cpu.signal_mv, cpu.fs, got.signal_mv, got.fs).snr_db > 25
    assert np.mean(loss) < 0.1


def test_two_slots(gpu: Digitizer) -> None:
    image, _ = make_sample(21, width_px=3456, severity=0.3, **PLAIN)
    alone = gpu(image)
    for record in digitize_many([image] * 6, digitizer=gpu):
        assert isinstance(record, EcgRecord)
        assert np.array_equal(record.signal_mv, alone.signal_mv, equal_nan=True)
