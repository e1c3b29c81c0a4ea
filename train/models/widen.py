"""Initialisation of a wider network from a narrower one, with equal responses.

Net2WiderNet (Chen, Goodfellow and Shlens, Net2Net, ICLR 2016, section 2.2): channels are repeated, and every layer
that reads a channel divides its weight among the copies. The shares are random, so that the copies diverge.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ecg_trt.errors import OptionError
from train.models.encoders import Network
from train.models.unet import UNet

_OUTPUT_LAYERS = ("head.", "aux.", "column.2.")  # their channels have a meaning, and are not repeated


def load_widened(model: Network, state: Mapping[str, Tensor]) -> None:
    """Load the weights of a network of equal shape or a narrower one; layers that it lacks keep their first values.

    Args:
        model: to be filled.
        state: of the other network.

    Raises:
        OptionError: the other network is wider somewhere, or its heads differ.
    """
    filled = {}
    for name, new in model.state_dict().items():
        if name not in state:
            continue
        value = state[name]
        if value.shape != new.shape:
            _check(name, value, new)
            fine = state["head.weight"].shape[1]
            value = _read_from(value, _sources(name, model, fine, value, new)) if value.ndim > 1 else value
            value = value[_copies(len(value), len(new))]
        filled[name] = value
    model.load_state_dict(filled, strict=False)


def _check(name: str, value: Tensor, new: Tensor) -> None:
    grows = value.ndim == new.ndim and value.shape[2:] == new.shape[2:]
    grows = grows and all(a <= b for a, b in zip(value.shape, new.shape, strict=True))
    if not grows or (name.startswith(_OUTPUT_LAYERS) and len(value) != len(new)):
        raise OptionError("The network to begin with does not fit", got=f"{name} of {tuple(value.shape)}",
                          expected=f"at most {tuple(new.shape)}, and equal heads",
                          hint="Begin with a network of the same stage and heads.")  # fmt: skip


def _copies(old: int, new: int) -> Tensor:
    """(new,) index of the old channel that each channel repeats."""
    return torch.arange(new) % old


def _sources(name: str, model: Network, fine: int, value: Tensor, new: Tensor) -> Tensor:
    """(I',) old input channel that each of a convolution repeats; the old network had `fine` at its finest level."""
    if not name.startswith("column.0."):
        return _copies(value.shape[1], new.shape[1])
    assert isinstance(model, UNet)  # No other network has heads of columns.
    # Mean and greatest of the finest and of the deepest level, one behind the other.
    deep = value.shape[1] // 2 - fine
    parts, start = [], 0
    for old, wide in ((fine, model.spec.widths[model.last]),) * 2 + ((deep, model.spec.widths[-1]),) * 2:
        parts.append(start + _copies(old, wide))
        start += old
    return torch.cat(parts)


def _read_from(weight: Tensor, source: Tensor) -> Tensor:
    """(O, I', ...) of (O, I, ...): input channel k repeats `source[k]`, and the copies of one share its weight."""
    share = 0.5 + torch.rand(weight.shape[0], len(source))
    total = torch.zeros(weight.shape[:2]).index_add(1, source, share)
    share = share / total[:, source]
    return weight[:, source] * share.reshape(*share.shape, *[1] * (weight.ndim - 2))
