"""Registry of the implementations of the pixel work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ecg_trt.ops.base import ImageOps

if TYPE_CHECKING:
    from ecg_trt.cuda.driver import Driver
    from ecg_trt.cuda.kernel_set import Kernels
    from ecg_trt.ops.cuda_ops import CudaOps
    from ecg_trt.ops.cuda_work import Sizes


def open_ops() -> ImageOps:
    """Open the pixel work on the CPU."""
    from ecg_trt.ops.cv2_ops import Cv2Ops

    return Cv2Ops()


def open_cuda_ops(driver: Driver, kernels: Kernels | None = None, sizes: Sizes | None = None) -> CudaOps:
    """Open the pixel work on a GPU; arguments and errors are those of `ops.cuda_work.CudaWork`."""
    from ecg_trt.ops.cuda_ops import CudaOps

    return CudaOps(driver, kernels, sizes)
