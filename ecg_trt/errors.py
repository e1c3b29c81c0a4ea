"""Errors that the package raises on purpose.

::

    EcgTrtError
    ├── InputError                what the user handed over
    │   ├── PhotoNotFoundError    no such file, or a directory
    │   ├── NotAnImageError       bytes that no decoder knows
    │   │   └── UnknownFormatError    a file of a format that no reader takes
    │   ├── TruncatedImageError   an image that ends too early
    │   ├── PhotoSizeError        too few or too many pixels
    │   └── OptionError           an argument outside its range
    ├── PageError                 an image, but no page to be read
    │   ├── NoEcgFoundError       nothing that looks like ECG paper
    │   ├── ResolutionError       too few pixels a millimetre
    │   ├── IncompletePageError   the page is cropped, or no strip could be traced
    │   ├── LowQualityError       read, but with less quality than requested
    │   └── DifferentPagesError   photos of one page that show several
    ├── OutputError               a result that cannot be written
    ├── WorkerError               a worker process
    │   ├── WorkerCrashedError    it died
    │   └── WorkerTimeoutError    it took too long, and was ended
    └── BackendError              inference
        ├── BackendUnavailableError   not installed, or no device
        ├── WeightsError              a network missing or altered
        ├── BuildError                a plan that cannot be built
        ├── PlanError                 a plan that cannot be used
        │   ├── PlanMissingError      none was built
        │   ├── PlanMismatchError     built for something else
        │   └── PlanCorruptError      no plan, truncated or altered
        └── DeviceError               the GPU
            ├── DriverError           no driver, one too old, or a GPU that it cannot serve
            ├── DeviceMemoryError     too little memory on the GPU, or too little to pin
            └── DeviceFaultError      an error in mid-run

Every message states what happened, what was found, what was expected, and a hint.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NOTICE = "Research use only, not a medical device"
"""Shown wherever a record or a command shows itself."""
NO_DIAGNOSIS = "Research use only, not a diagnosis."
"""Shown wherever a figure of an analysis is."""

ORT_CUDA_HINT = (
    'On a machine with an NVIDIA GPU run: pip uninstall -y onnxruntime && pip install "onnxruntime-gpu[cuda,cudnn]", '
    "in a version for the CUDA that the driver serves; or use --backend ort."
)
"""How to get what `--backend ort-cuda` needs: both packages are the module `onnxruntime`."""


class EcgTrtError(Exception):
    """Base of all errors of this package.

    Args:
        what: what could not be done.
        got: what was found instead.
        expected: what would have been accepted.
        hint: what the reader can do about it.
    """

    def __init__(self, what: str, *, got: str, expected: str, hint: str) -> None:
        self.what, self.got, self.expected, self.hint = what, got, expected, hint
        super().__init__(f"{what}: got {got}; expected {expected}. {hint}")

    def __reduce__(self) -> tuple[Callable[[str], EcgTrtError], tuple[str]]:
        """Pickle what was given, from which the message is made again."""
        return functools.partial(type(self), got=self.got, expected=self.expected, hint=self.hint), (self.what,)


class InputError(EcgTrtError):
    """The user's input cannot be used."""


class PhotoNotFoundError(InputError):
    """There is no file at this path, or it is a directory."""


class NotAnImageError(InputError):
    """No decoder knows these bytes."""


class UnknownFormatError(NotAnImageError):
    """No reader takes a file of this format."""


class TruncatedImageError(InputError):
    """The image ends before its last pixel."""


class PhotoSizeError(InputError):
    """The image has too few or too many pixels."""


class OptionError(InputError, ValueError):
    """An argument lies outside its range."""


class PageError(EcgTrtError):
    """The image is sound, but holds no page that can be read."""


class NoEcgFoundError(PageError):
    """Nothing in the picture looks like ECG paper."""


class ResolutionError(PageError):
    """The page is there, but with too few pixels a millimetre."""


class IncompletePageError(PageError):
    """The page is cropped, or none of its strips could be traced."""


class LowQualityError(PageError):
    """The page was read, but with less quality than requested."""


class DifferentPagesError(PageError):
    """Photos that should show one page show different ones."""


class OutputError(EcgTrtError):
    """A result could not be written."""


class WorkerError(EcgTrtError):
    """A worker process did not do its job."""


class WorkerCrashedError(WorkerError):
    """The process died, in native code or by the system's hand."""


class WorkerTimeoutError(WorkerError):
    """The process took longer than it may, and was ended."""


class BackendError(EcgTrtError):
    """Inference could not be done."""


class BackendUnavailableError(BackendError):
    """The requested backend is not installed or has no device."""


class WeightsError(BackendError):
    """A network's file is missing or altered."""


class DeviceError(BackendError):
    """The GPU cannot be used, or failed."""


class DriverError(DeviceError):
    """There is no NVIDIA driver, it is too old, or no GPU of the kind that is needed."""


class DeviceMemoryError(DeviceError):
    """The GPU's memory, or memory that it can read from the host, is used up."""


class DeviceFaultError(DeviceError):
    """A call to the GPU failed in mid-run."""


class BuildError(BackendError):
    """A plan cannot be built from this network, or not here."""


class PlanError(BackendError):
    """A plan cannot be used."""


class PlanMissingError(PlanError):
    """No plan was built for this."""


class PlanMismatchError(PlanError):
    """The plan was built for another flavour, version, GPU, precision or network."""


class PlanCorruptError(PlanError):
    """The file is no plan, is truncated or altered, or its manifest cannot be read."""


def first_line(error: Exception) -> str:
    """Take the first line of a library's error, which may go on for pages; its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def install_hint(*extras: str, upgrade: bool = False) -> str:
    """Say how to install extras of this package, which is in no index: from the clone.

    Args:
        extras: of pyproject.toml, such as "rtx", "build".
        upgrade: take newer versions of what is there, too.

    Returns:
        Such as ``Run in the folder of the clone: pip install -e ".[rtx,build]"``, without a full stop.
    """
    return f'Run in the folder of the clone: pip install {"-U " if upgrade else ""}-e ".[{",".join(extras)}]"'
