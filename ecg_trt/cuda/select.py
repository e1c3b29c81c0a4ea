"""Choice of the driver by name; the Python package behind it is imported when it is first needed."""

from __future__ import annotations

from ecg_trt.config import member_of
from ecg_trt.cuda.device import probe
from ecg_trt.cuda.driver import Driver, no_gpu
from ecg_trt.str_enum import StrEnum


class DriverName(StrEnum):
    """Names of the drivers."""

    CUDA_CORE = "cuda-core"
    PYCUDA = "pycuda"


def open_driver(name: DriverName | str = DriverName.CUDA_CORE, ordinal: int = 0) -> Driver:
    """Open a driver on a GPU.

    Args:
        name: of the package that drives.
        ordinal: number among the visible GPUs.

    Raises:
        BackendUnavailableError: no such driver, or its package is not installed.
        DriverError: no GPU that can be used.
    """
    wanted = member_of(DriverName, name, "The GPU cannot be driven")
    device = probe(ordinal)
    if isinstance(device, str):
        raise no_gpu(device)
    if wanted is DriverName.PYCUDA:
        from ecg_trt.cuda.pycuda_driver import PycudaDriver

        return PycudaDriver(device)
    from ecg_trt.cuda.core_driver import CudaCoreDriver

    return CudaCoreDriver(device)
