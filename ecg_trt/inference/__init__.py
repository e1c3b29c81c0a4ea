"""Ensembles, test-time augmentation and windows: backends around backends, which can be stacked.

`Views` shows a network the picture several ways, `Windows` shows it a large picture piece by piece, `Ensemble` asks
several networks. None of them is used by default: each costs further runs.
"""

from ecg_trt.inference.ensemble import Ensemble
from ecg_trt.inference.views import View, Views
from ecg_trt.inference.vote import Kind, kind_of, vote
from ecg_trt.inference.windows import Windows

__all__ = ["Ensemble", "Kind", "View", "Views", "Windows", "kind_of", "vote"]
