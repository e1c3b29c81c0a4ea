"""Paths of the files that the package makes for itself."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Find the folder of everything that can be made again: `$ECG_TRT_HOME`, else the platform's cache folder."""
    if chosen := os.environ.get("ECG_TRT_HOME"):
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("ecg_trt", appauthor=False, opinion=False)
