"""A page that leaves no doubt about its layout and its scales."""

from __future__ import annotations

from typing import Any

PLAIN: dict[str, Any] = {
    "layout": "3x4+1",
    "paper_speed_mm_per_s": 25.0,
    "gain_mm_per_mv": 10.0,
    "pulse": "left",
    "clutter": 0.0,
}
