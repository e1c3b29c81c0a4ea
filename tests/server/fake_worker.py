"""A worker without networks: the bytes of an upload decide what becomes of it."""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Callable

import numpy as np

from ecg_trt.analysis import analyze
from ecg_trt.errors import LowQualityError, NoEcgFoundError, WorkerCrashedError
from ecg_trt.io.writers.analysis_files import write_analysis
from ecg_trt.io.writers.json import record_as_dict
from ecg_trt.layout import LEADS
from ecg_trt.record import EcgRecord
from ecg_trt.server.jobs import (
    ANALYSIS,
    ANALYSIS_STEM,
    DRAWING,
    FLAT,
    OVERLAY,
    PHOTO,
    RECORD,
    AnalyzeJob,
    CorrectJob,
    Job,
    JobResult,
    OverlayJob,
    ReadJob,
    load_record,
)

GOOD, NO_ECG, CRASH, BUG, THREE_PAGES = b"good", b"no ecg", b"crash", b"bug", b"3 pages"
PAUSE = b"pause"


def fake_record(name: str, gain: float = 10.0) -> EcgRecord:
    signal = np.zeros((12, 500), np.float32)
    quality = np.full(12, 0.9, np.float32)
    return EcgRecord(
        signal_mv=signal, fs=500.0, lead_names=LEADS, layout="3x4", paper_speed_mm_per_s=25.0, gain_mm_per_mv=gain,
        quality=quality, snr_db=20 * quality, source=name,
    )  # fmt: skip


def work(job: Job) -> JobResult:
    """Do a job; errors as a worker has them."""
    if isinstance(job, AnalyzeJob):
        (job.folder / ANALYSIS).mkdir(exist_ok=True)
        write_analysis(analyze(load_record(job.folder), ["beats"]), job.folder / ANALYSIS, ANALYSIS_STEM)
        return JobResult()
    if isinstance(job, OverlayJob):
        (job.read.folder / OVERLAY).write_bytes(b"overlay")
        return JobResult()
    if isinstance(job, CorrectJob):
        if job.corrections.gain == 40:
            raise LowQualityError("Not so", got="40 mm/mV", expected="less", hint="Choose another gain.")
        return _write(job.read, job.corrections.gain or 10.0)
    content = job.upload.read_bytes()
    if content == CRASH:
        raise WorkerCrashedError("The process died", got="SIGSEGV", expected="a result", hint="Try it alone.")
    if content == BUG:
        raise ZeroDivisionError(str(job.upload))
    pages = int(content[:1]) if content.endswith(b"pages") and job.page is None else 1
    if content == NO_ECG:
        (job.folder / PHOTO).write_bytes(b"photo")
        no_ecg = NoEcgFoundError(f"{job.name} shows no ECG", got="a cat", expected="ECG paper", hint="Show the page.")
        return JobResult(pages, (700, 500), error=no_ecg)
    result = _write(job, 10.0)
    return JobResult(pages, (700, 500), result.summary)


def _write(job: ReadJob, gain: float) -> JobResult:
    record = fake_record(job.name, gain)
    for name, content in ((PHOTO, b"photo"), (FLAT, b"flat"), (RECORD, pickle.dumps(record))):
        (job.folder / name).write_bytes(content)
    (job.folder / DRAWING).write_text(json.dumps({"rows": []}))
    return JobResult(summary=record_as_dict(record))


def open_mortal_worker() -> Callable[[Job], JobResult]:
    """Open a worker for a process of its own, which a crash ends, and a pause holds up."""
    return _mortal


def _mortal(job: Job) -> JobResult:
    content = job.upload.read_bytes() if isinstance(job, ReadJob) else b""
    if content == CRASH:
        os._exit(11)
    if content == PAUSE:
        time.sleep(60)
    return work(job)
