"""Devices, precision and processes of a run, by Lightning Fabric; torchrun starts several processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import cv2
import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.precision import MixedPrecision, Precision
from lightning_fabric.strategies.ddp import DDPStrategy

from ecg_trt.errors import OptionError
from train.config import Config, unknown
from train.losses import Criterion
from train.models import NARROW, STAGES

_TIMEOUT = timedelta(hours=12)  # the first process may check thousands of pages while the others wait
_DEVICES = ("auto", "cpu", "cuda")


def open_fabric(config: Config) -> Fabric:
    """Connect to the processes that train together, and choose device and precision of this one.

    The process group is made once and serves all runs of a process; `process_group` closes it.

    Raises:
        OptionError: an unknown device, or a GPU that is not there.
    """
    accelerator = _accelerator(config.hardware.device)
    precision = _precision_plugin(choose_precision(config.hardware.precision, accelerator), accelerator)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:  # the environment is given, or Fabric would ask a batch scheduler
        fabric = Fabric(accelerator=accelerator, devices=1, plugins=[precision, LightningEnvironment()])
    else:
        strategy = DDPStrategy(
            process_group_backend="nccl" if accelerator == "cuda" else "gloo", timeout=_TIMEOUT,
            find_unused_parameters=_has_unused_parameters(config),
        )  # fmt: skip
        nodes, devices = (int(os.environ.get(name, "1")) for name in ("GROUP_WORLD_SIZE", "LOCAL_WORLD_SIZE"))
        fabric = Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy,
                        plugins=[precision])  # fmt: skip
    fabric.launch()
    torch.backends.cudnn.benchmark = True  # every batch has the same shape
    if config.hardware.threads:
        torch.set_num_threads(config.hardware.threads)
        cv2.setNumThreads(config.hardware.threads)
    return fabric


@contextmanager
def process_group() -> Iterator[None]:
    """Close the process group at the end, where one was made."""
    try:
        yield
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def choose_precision(precision: str, accelerator: str) -> str:
    """Resolve "auto" for a device: "fp32", "bf16" or "fp16"."""
    if precision != "auto":
        return precision
    if accelerator == "cuda":
        return "fp16"
    return "bf16" if has_fast_bf16() else "fp32"


def _precision_plugin(precision: str, accelerator: str) -> Precision:
    """Autocast and gradient scaling; given as a plugin, as by name Fabric would compute FP16 on a CPU in BF16."""
    if precision == "fp32":
        return Precision()
    return MixedPrecision("bf16-mixed" if precision == "bf16" else "16-mixed", accelerator)


def has_fast_bf16() -> bool:
    """Tell if this CPU multiplies bfloat16 in hardware, by AMX or AVX-512.

    A processor without these computes in FP32 and rounds, which is slower than FP32 alone.
    """
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in ("amx_bf16", "avx512_bf16"))


def _accelerator(device: str) -> str:
    if device not in _DEVICES:
        raise unknown("hardware.device", device, _DEVICES)
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise OptionError("There is no GPU to train on", got="hardware.device 'cuda' without CUDA",
                          expected="an NVIDIA GPU and a CUDA build of PyTorch", hint="Use device 'cpu'.")  # fmt: skip
    return ("cuda" if has_gpu else "cpu") if device == "auto" else device


def _has_unused_parameters(config: Config) -> bool:
    """Tell if some parameters get no gradient: heads without a loss, or layers of timm's that are not used."""
    spec = STAGES[config.stage]
    return config.model.encoder != NARROW or not set(spec.outputs) <= Criterion(config.loss).heads
