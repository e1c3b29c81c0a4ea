"""Which backends there are, and how they are opened."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from ecg_trt.backends.base import Backend
from ecg_trt.errors import BackendUnavailableError
from ecg_trt.weights import weights_path

_log = logging.getLogger(__name__)


class BackendName(str, Enum):
    """What a user may ask for."""

    AUTO = "auto"
    ORT = "ort"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class _Flavour:
    """One backend.

    Attributes:
        factory: opens a network by name with a number of threads; imports what it needs.
        why_not: None if the backend can be used here, else the reason.
        pip: what to install.
    """

    factory: Callable[[str, int], Backend]
    why_not: Callable[[], str | None]
    pip: str


def _open_ort(network: str, threads: int) -> Backend:
    from ecg_trt.backends.ort import OrtBackend

    return OrtBackend(weights_path(network), threads)


def _ort_why_not() -> str | None:
    return None if importlib.util.find_spec("onnxruntime") else "onnxruntime is not installed"


# In the order in which `auto` tries them.
_FLAVOURS: dict[BackendName, _Flavour] = {
    BackendName.ORT: _Flavour(_open_ort, _ort_why_not, "pip install onnxruntime"),
}


def available() -> list[tuple[str, bool, str]]:
    """(name, usable, reason if not) of each backend, best first; loads none of them."""
    reasons = [(name.value, flavour.why_not()) for name, flavour in _FLAVOURS.items()]
    return [(name, reason is None, reason or "") for name, reason in reasons]


def open_backend(name: BackendName | str, network: str, *, threads: int = 0) -> Backend:
    """Opens one of the package's networks.

    Args:
        name: a backend, or "auto" for the best one that is to be had.
        network: for example "stage0".
        threads: CPU threads, 0 for all.

    Raises:
        BackendUnavailableError: no backend of this name, or it cannot be used here.
        WeightsError: the network is missing or altered.
    """
    try:
        wanted = BackendName(name)
    except ValueError:
        raise BackendUnavailableError(
            "The backend cannot be opened",
            got=f"{str(name)!r}",
            expected="one of " + ", ".join(member.value for member in BackendName),
            mend="Choose one of these.",
        ) from None
    if wanted is BackendName.AUTO:
        wanted = _best()
    flavour = _FLAVOURS[wanted]
    reason = flavour.why_not()
    if reason is not None:
        raise _unavailable(wanted.value, reason, flavour.pip)
    return flavour.factory(network, threads)


def _best() -> BackendName:
    refused: list[str] = []
    for name, flavour in _FLAVOURS.items():
        reason = flavour.why_not()
        if reason is None:
            _log.info("backend auto: %s%s", name, "".join(f"; not {r}" for r in refused))
            return name
        refused.append(f"{name} ({reason})")
    raise _unavailable("auto", "; ".join(refused), _FLAVOURS[BackendName.ORT].pip)


def _unavailable(name: str, reason: str, pip: str) -> BackendUnavailableError:
    return BackendUnavailableError(
        "The backend cannot be opened",
        got=f"{name}: {reason}",
        expected="an installed backend",
        mend=f"Run: {pip}",
    )
