"""A photo of a paper ECG in, calibrated leads in millivolts out. Research use only, not a medical device.

Example:
    >>> record = ecg_trt.digitize("photo.jpg")  # doctest: +SKIP
    ... record.to_csv("photo.csv")

Importing the package is light: names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecg_trt.analysis import Analysis, analyze
    from ecg_trt.batch import DigitizerPool, digitize_many
    from ecg_trt.config import ReadOptions, RuntimeOptions
    from ecg_trt.corrections import Corrections, LeftOut, Redrawn
    from ecg_trt.digitizer import Digitizer, digitize
    from ecg_trt.errors import (
        BackendError,
        BackendUnavailableError,
        BuildError,
        DeviceError,
        DeviceFaultError,
        DeviceMemoryError,
        DifferentPagesError,
        DriverError,
        EcgTrtError,
        IncompletePageError,
        InputError,
        LowQualityError,
        NoEcgFoundError,
        NotAnImageError,
        OptionError,
        OutputError,
        PageError,
        PhotoNotFoundError,
        PhotoSizeError,
        PlanCorruptError,
        PlanError,
        PlanMismatchError,
        PlanMissingError,
        ResolutionError,
        TruncatedImageError,
        UnknownFormatError,
        WeightsError,
        WorkerCrashedError,
        WorkerError,
        WorkerTimeoutError,
    )
    from ecg_trt.record import EcgRecord

__version__ = "0.2.0"

__all__ = [
    "Analysis",
    "BackendError",
    "BackendUnavailableError",
    "BuildError",
    "Corrections",
    "DeviceError",
    "DeviceFaultError",
    "DeviceMemoryError",
    "DifferentPagesError",
    "Digitizer",
    "DigitizerPool",
    "DriverError",
    "EcgRecord",
    "EcgTrtError",
    "IncompletePageError",
    "InputError",
    "LeftOut",
    "LowQualityError",
    "NoEcgFoundError",
    "NotAnImageError",
    "OptionError",
    "OutputError",
    "PageError",
    "PhotoNotFoundError",
    "PhotoSizeError",
    "PlanCorruptError",
    "PlanError",
    "PlanMismatchError",
    "PlanMissingError",
    "ReadOptions",
    "Redrawn",
    "ResolutionError",
    "RuntimeOptions",
    "TruncatedImageError",
    "UnknownFormatError",
    "WeightsError",
    "WorkerCrashedError",
    "WorkerError",
    "WorkerTimeoutError",
    "__version__",
    "analyze",
    "digitize",
    "digitize_many",
]

_HOMES = {
    "Analysis": "analysis",
    "Corrections": "corrections",
    "Digitizer": "digitizer",
    "DigitizerPool": "batch",
    "EcgRecord": "record",
    "LeftOut": "corrections",
    "ReadOptions": "config",
    "Redrawn": "corrections",
    "RuntimeOptions": "config",
    "analyze": "analysis",
    "digitize": "digitizer",
    "digitize_many": "batch",
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is first requested (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"ecg_trt.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
