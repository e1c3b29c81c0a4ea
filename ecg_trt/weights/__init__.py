"""The networks the package ships, each named in manifest.json with its sha256."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from ecg_trt.config import MODELS
from ecg_trt.errors import OptionError, WeightsError

FOLDER = Path(__file__).resolve().parent
MANIFEST = "manifest.json"


def folder_of(model: str) -> Path:
    """Where the manifest of a size of the networks is: "small" or "base"; networks that both share lie with the small.

    Raises:
        OptionError: no such size.
    """
    if model not in MODELS:
        raise OptionError("Unknown model", got=repr(model), expected=" or ".join(MODELS), mend="Choose one of these.")
    return FOLDER if model == MODELS[0] else FOLDER / model


def models_with(sha256: str) -> list[str]:
    """The sizes that a network with this hash belongs to, smallest first.

    Raises:
        WeightsError: a manifest cannot be read.
    """
    return [model for model in MODELS if sha256 in list_weights(folder_of(model)).values()]


def list_weights(folder: Path | None = None) -> dict[str, str]:
    """Network name to sha256, as the manifest has it; empty if there is no manifest.

    Args:
        folder: of the networks, the package's own if None.

    Raises:
        WeightsError: the manifest cannot be read.
    """
    return {name: entry["sha256"] for name, entry in _manifest(folder or FOLDER).items()}


def weights_path(network: str, folder: Path | None = None) -> Path:
    """Path of a network's ONNX file, its content checked against the manifest.

    Args:
        network: for example "stage0".
        folder: of the networks, the package's own if None.

    Raises:
        WeightsError: not in the manifest, not on disk, or altered.
    """
    folder = folder or FOLDER
    manifest = _manifest(folder)
    if network not in manifest:
        raise _bad(
            f"{network!r}", f"one of {sorted(manifest)}" if manifest else f"{folder / MANIFEST} to name it"
        )
    path = (folder / manifest[network]["file"]).resolve()
    if not path.is_file():
        raise _bad(f"no file {path}", f"the network {network!r}")
    stat, expected = path.stat(), manifest[network]["sha256"]
    digest = _sha256(path, stat.st_mtime_ns, stat.st_size)
    if digest != expected:
        raise _bad(f"{path} with sha256 {digest[:12]}", f"sha256 {expected[:12]}")
    return path


def _manifest(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {str(k): {"file": str(v["file"]), "sha256": str(v["sha256"])} for k, v in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _bad(
            f"{path} ({type(error).__name__}: {error})", '{"stage0": {"file": …, "sha256": …}, …}'
        ) from error


@lru_cache(maxsize=32)
def _sha256(path: Path, mtime_ns: int, size: int) -> str:
    """Hex digest; time and size are there so that a changed file is read again."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _bad(got: str, expected: str) -> WeightsError:
    return WeightsError("A network cannot be used", got=got, expected=expected, mend="Install ecg_trt again.")
