"""Worker processes that crash, hang, fail and outlive nobody."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from functools import partial
from pathlib import Path

import pytest

from ecg_trt import errors
from ecg_trt.errors import (
    DeviceFaultError,
    EcgTrtError,
    NoEcgFoundError,
    OptionError,
    WeightsError,
    WorkerCrashedError,
    WorkerTimeoutError,
)
from ecg_trt.processes import ProcessPool, WorkerTraceback, threads_each
from tests.fake_workers import FakeWorker, is_alive, open_and_die, open_nothing


@pytest.fixture(scope="module")
def pool():
    with ProcessPool(FakeWorker, 2, timeout_s=5.0) as opened:
        yield opened


def test_jobs_come_back_from_two_processes(pool):
    assert [future.result() for future in [pool.submit(("echo", k)) for k in range(20)]] == list(range(20))
    pids = {future.result() for future in [pool.submit(("pid", None)) for _ in range(50)]}
    assert len(pids) == pool.processes == 2
    assert os.getpid() not in pids


def test_errors_come_back_whole_with_their_traceback(pool):
    with pytest.raises(NoEcgFoundError, match="got a cat; expected ECG paper") as caught:
        pool.submit(("fail", None)).result()
    assert caught.value.hint == "Show it."
    assert isinstance(caught.value.__cause__, WorkerTraceback)
    assert "fake_workers.py" in str(caught.value.__cause__)


def test_what_cannot_be_pickled_is_an_error_of_its_job(pool):
    with pytest.raises(RuntimeError, match="LocalError: of no module"):
        pool.submit(("local error", None)).result()
    with pytest.raises(TypeError, match="pickle"):
        pool.submit(("lock", None)).result()
    with pytest.raises(Exception, match="pickle"):
        pool.submit(("echo", lambda: None)).result()
    assert pool.submit(("echo", 1)).result() == 1


@pytest.mark.parametrize(
    ("job", "got"),
    [
        (("exit", 3), "exit code 3"),
        (("kill", signal.SIGKILL), "signal SIGKILL"),
        (("kill", signal.SIGSEGV), "signal SIGSEGV"),
    ],
)
def test_a_crash_costs_its_job_alone(pool, job, got):
    before, crashed, after = (
        [pool.submit(("echo", k)) for k in range(5)],
        pool.submit(job),
        [pool.submit(("echo", k)) for k in range(5)],
    )
    with pytest.raises(WorkerCrashedError, match=got):
        crashed.result()
    assert [future.result() for future in (*before, *after)] == [*range(5), *range(5)]


def test_a_process_that_dies_idle_costs_no_job(pool):
    pids = {future.result() for future in [pool.submit(("pid", None)) for _ in range(50)]}
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert [future.result() for future in [pool.submit(("echo", k)) for k in range(4)]] == [0, 1, 2, 3]


def test_a_job_that_takes_too_long_is_ended():
    with ProcessPool(FakeWorker, 1, timeout_s=0.5) as pool:
        pid = pool.submit(("pid", None)).result()
        with pytest.raises(WorkerTimeoutError, match=r"no result within 0\.5 s"):
            pool.submit(("sleep", 60)).result()
        assert not is_alive(pid)
        assert pool.submit(("echo", 7)).result() == 7


def test_a_process_that_lost_its_gpu_is_replaced():
    with ProcessPool(FakeWorker, 1) as pool:
        pid = pool.submit(("pid", None)).result()
        with pytest.raises(DeviceFaultError):
            pool.submit(("fault", None)).result()
        assert pool.submit(("pid", None)).result() != pid


def test_workers_are_closed_and_waiting_jobs_cancelled(tmp_path):
    pool = ProcessPool(partial(FakeWorker, tmp_path), 1)
    pid = pool.submit(("pid", None)).result()
    futures = [pool.submit(("sleep", 0.2)) for _ in range(3)]
    while not futures[0].running():
        time.sleep(0.001)
    pool.close()
    pool.close()
    assert futures[0].result() == 0.2
    assert futures[2].cancelled()
    assert [path.name for path in tmp_path.iterdir()] == [str(pid)]
    assert not is_alive(pid)
    with pytest.raises(RuntimeError):
        pool.submit(("echo", 1))


def test_workers_that_do_not_open():
    with pytest.raises(WeightsError, match=r"stage0\.onnx"):
        ProcessPool(open_nothing, 2)
    with pytest.raises(WorkerCrashedError, match="before it could open: got signal SIGSEGV"):
        ProcessPool(open_and_die, 1)


@pytest.mark.parametrize("wrong", [{"processes": 0}, {"processes": 1, "waiting": 0}])
def test_wrong_options(wrong):
    with pytest.raises(OptionError):
        ProcessPool(FakeWorker, **wrong)


def test_cores_are_shared(monkeypatch):
    monkeypatch.setattr("ecg_trt.processes.available_cores", lambda: 8)
    assert [threads_each(n) for n in (1, 3, 8, 20)] == [8, 2, 1, 1]


def test_workers_die_with_a_killed_parent_even_in_mid_job(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(
            """
            from ecg_trt.processes import ProcessPool
            from tests.fake_workers import FakeWorker

            if __name__ == "__main__":
                pool = ProcessPool(FakeWorker, 2)
                pids = set()
                while len(pids) < 2:
                    pids |= {f.result() for f in [pool.submit(("pid", None)) for _ in range(20)]}
                pool.submit(("sleep", 600))
                print(*pids, flush=True)
                pool.submit(("sleep", 600)).result()
            """
        )
    )
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_alive, pids))
        parent.kill()
    end = time.monotonic() + 10
    while any(map(is_alive, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(is_alive, pids))


def test_every_error_can_be_pickled():
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, EcgTrtError):
            error = kind("It failed", got="this", expected="that", hint="Wait.")
            again = pickle.loads(pickle.dumps(error))
            assert type(again) is kind
            assert (str(again), vars(again)) == (str(error), vars(error))
