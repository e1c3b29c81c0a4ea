"""Networks that the package ships, each named in manifest.json with its sha256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from ecg_trt.errors import WeightsError

FOLDER = Path(__file__).resolve().parent
MANIFEST = "manifest.json"


def list_weights(folder: Path | None = None) -> dict[str, str]:
    """Map network names to sha256, as the manifest has them; empty if there is no manifest.

    Args:
        folder: of the networks, the package's own if None.

    Raises:
        WeightsError: the manifest cannot be read.
    """
    return {name: entry["sha256"] for name, entry in _manifest(folder or FOLDER).items()}


def weights_sha256(network: str, folder: Path | None = None) -> str:
    """Look up the hash of a network's ONNX file in the manifest; the file is not read.

    Raises:
        WeightsError: not in the manifest, or the manifest cannot be read.
    """
    return _entry(network, folder or FOLDER)["sha256"]


def weights_path(network: str, folder: Path | None = None) -> Path:
    """Find a network's ONNX file and check its content against the manifest.

    Args:
        network: for example "stage0".
        folder: of the networks, the package's own if None.

    Raises:
        WeightsError: not in the manifest, not on disk, or altered.
    """
    folder = folder or FOLDER
    entry = _entry(network, folder)
    path = (folder / entry["file"]).resolve()
    if not path.is_file():
        raise _bad(f"no file {path}", f"the network {network!r}")
    stat, expected = path.stat(), entry["sha256"]
    digest = _sha256(path, stat.st_mtime_ns, stat.st_size)
    if digest != expected:
        raise _bad(f"{path} with sha256 {digest[:12]}", f"sha256 {expected[:12]}")
    return path


def load_json(path: Path, content: str) -> dict[str, Any]:
    """Read a JSON file that belongs to the networks.

    Args:
        path: of the file.
        content: description of it, which begins the message.

    Raises:
        WeightsError: it is missing or cannot be read.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(
            f"{content} cannot be read", got=f"{type(error).__name__}: {error}", expected=f"a JSON file at {path}",
            hint="Install ecg_trt again.",
        ) from error  # fmt: skip


@contextmanager
def restoring(content: str, expected: str, remedy: str) -> Iterator[None]:
    """Turn what values of a JSON file raise while they are restored into one error.

    Args:
        content: description of them, which begins the message.
        expected: of them.
        remedy: beside another installation, for the hint.

    Raises:
        WeightsError: one is missing, or is not as expected.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"{content} cannot be used", got=f"{type(error).__name__}: {error}", expected=expected,
            hint=f"Install ecg_trt again, or {remedy}.",
        ) from error  # fmt: skip


def _entry(network: str, folder: Path) -> dict[str, str]:
    manifest = _manifest(folder)
    if network not in manifest:
        expected = f"one of {sorted(manifest)}" if manifest else f"{folder / MANIFEST} to name it"
        raise _bad(f"{network!r}", expected)
    return manifest[network]


def _manifest(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {str(k): {"file": str(v["file"]), "sha256": str(v["sha256"])} for k, v in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _bad(f"{path} ({type(error).__name__}: {error})", '{"stage0": {"file": …, "sha256": …}, …}') from error


@lru_cache(maxsize=32)
def _sha256(path: Path, mtime_ns: int, size: int) -> str:
    """Compute the hex digest; time and size are arguments so that a changed file is read again."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _bad(got: str, expected: str) -> WeightsError:
    return WeightsError("A network cannot be used", got=got, expected=expected, hint="Install ecg_trt again.")
