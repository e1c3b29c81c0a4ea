"""Options of the runtime and of a reading, checked once at the door."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from ecg_trt.errors import BackendUnavailableError, OptionError
from ecg_trt.layout import GAINS_MM_PER_MV, LAYOUTS, PAPER_SPEEDS_MM_PER_S, STRIPS

_Kind = TypeVar("_Kind", bound=Enum)

AUTO = "auto"
BACKENDS = (AUTO, "trt", "rtx", "ort", "ort-cuda")
VIEWS = (1, 2, 4)
MIN_FS, MAX_FS = 50.0, 2000.0


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """Options of the runtime, chosen once for many photos.

    Attributes:
        backend: "trt" or "rtx" (TensorRT, on a GPU), "ort" (ONNX Runtime, on the CPU), "auto" for the best of these
            that is available, or "ort-cuda" (ONNX Runtime's CUDA provider).
        views: how often each part of a trace is shown to its network: 1; 2, mirrored too; or 4, moved by a pixel as
            well, at as many times the work of that network.
        threads: CPU threads of the networks, 0 for all cores.

    Raises:
        OptionError: a value outside its range.
    """

    backend: str = AUTO
    views: int = 1
    threads: int = 0

    def __post_init__(self) -> None:
        """Check every value."""
        check_choice("backend", self.backend, BACKENDS)
        check_choice("views", self.views, VIEWS)
        if not isinstance(self.threads, int) or self.threads < 0:
            raise OptionError("threads is out of range", got=repr(self.threads), expected="0 (all cores) or more",
                              hint="Leave threads out to get the default.")  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options of the reading of one photo; "auto" means that the page is read for it.

    Attributes:
        layout: "auto", a name in `layout.LAYOUTS`, or "strips" for a page of other leads, read row by row.
        speed: paper speed, "auto" or one of `layout.PAPER_SPEEDS_MM_PER_S`.
        gain: "auto" or one of `layout.GAINS_MM_PER_MV`; of all leads, unless `chest_gain` is given.
        chest_gain: likewise, of all but the limb leads.
        fs: samples a second of the record, 50 .. 2000 Hz.
        min_px_per_mm: photos with fewer pixels a millimetre of paper are rejected.
        min_quality: pages whose mean quality comes out lower are rejected, 0 .. 1.
        min_pixels: photos with fewer pixels are rejected.
        max_pixels: photos with more pixels are rejected before they are decoded.
        limb_blend: whether limb leads that are printed together are made consistent with Einthoven's and Goldberger's
            laws; the residual before is in the record either way.

    Raises:
        OptionError: a value outside its range.
    """

    layout: str = AUTO
    speed: str | float = AUTO
    gain: str | float = AUTO
    chest_gain: str | float = AUTO
    fs: float = 500.0
    min_px_per_mm: float = 2.0
    min_quality: float = 0.0
    min_pixels: int = 150_000
    max_pixels: int = 50_000_000
    limb_blend: bool = True

    def __post_init__(self) -> None:
        """Check every value and turn "25" into 25.0."""
        check_choice("layout", self.layout, (AUTO, *LAYOUTS, STRIPS))
        for name, choices, unit in (
            ("speed", PAPER_SPEEDS_MM_PER_S, "mm/s"),
            ("gain", GAINS_MM_PER_MV, "mm/mV"),
            ("chest_gain", GAINS_MM_PER_MV, "mm/mV"),
        ):
            if getattr(self, name) != AUTO:
                object.__setattr__(self, name, check_number(name, getattr(self, name), choices, unit))
        for name, low, high, unit in (
            ("fs", MIN_FS, MAX_FS, "Hz"),
            ("min_px_per_mm", 0.5, 100.0, "px/mm"),
            ("min_quality", 0.0, 1.0, "(1 is best)"),
        ):
            object.__setattr__(self, name, _in_range(name, getattr(self, name), low, high, unit))
        if not 0 < self.min_pixels <= self.max_pixels:
            raise OptionError(
                "The limits in pixels contradict each other",
                got=f"min_pixels={self.min_pixels}, max_pixels={self.max_pixels}",
                expected="0 < min_pixels <= max_pixels",
                hint="Leave them at 150,000 and 50,000,000.",
            )


def member_of(kind: type[_Kind], name: str, what: str) -> _Kind:
    """Find the member of an enum of backends or drivers by its name.

    Args:
        kind: an enum whose values are strings.
        name: a member, or its value.
        what: what cannot be done without it.

    Raises:
        BackendUnavailableError: there is none of this name.
    """
    try:
        return kind(name)
    except ValueError:
        raise BackendUnavailableError(
            what,
            got=repr(str(name)),
            expected="one of " + ", ".join(str(member.value) for member in kind),
            hint="Choose one of these.",
        ) from None


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Raise an OptionError unless an option has one of some values."""
    if value not in choices:
        raise OptionError(
            f"Unknown {name}",
            got=repr(value),
            expected="one of " + ", ".join(map(str, choices)),
            hint=f"Leave {name} out to get the default.",
        )


def _number(value: object) -> float:
    """Convert a value to a number, NaN if it stands for none."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def check_number(name: str, value: object, choices: Sequence[float], unit: str) -> float:
    """Convert "25" to 25.0, one of the values that devices have.

    Raises:
        OptionError: it is none of `choices`.
    """
    number = _number(value)
    if number not in choices:
        raise OptionError(
            f"Unknown {name}",
            got=repr(value),
            expected=f"one of {', '.join(f'{choice:g}' for choice in choices)} {unit}",
            hint=f"Read it off the page's margin, or leave {name} out to have the page read for it.",
        )
    return number


def _in_range(name: str, value: object, low: float, high: float, unit: str) -> float:
    number = _number(value)
    if not low <= number <= high:
        raise OptionError(
            f"{name} is out of range",
            got=repr(value),
            expected=f"{low:g} to {high:g} {unit}",
            hint=f"Leave {name} out to get the default.",
        )
    return number
