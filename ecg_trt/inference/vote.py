"""Soft voting: one prediction from several, averaged by the kind of each output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ecg_trt.errors import OptionError
from ecg_trt.networks import HeadKind, head_kind
from ecg_trt.str_enum import StrEnum
from ecg_trt.types import Array


class Kind(StrEnum):
    """Kind of an output's numbers, which decides how they are averaged."""

    LOGIT = "logit"  # of a probability, each by itself
    RIDGE = "ridge"  # (n, 1, H, W), of probabilities that sum to 1 down each column
    TEXT = "text"  # (n, 1, C, T), of probabilities that sum to 1 over the classes of each column
    CLASS = "class"  # (n, C), of probabilities that sum to 1
    VALUE = "value"  # no probabilities


_KINDS = {
    HeadKind.VALUE: Kind.VALUE,
    HeadKind.RIDGE: Kind.RIDGE,
    HeadKind.TEXT: Kind.TEXT,
    HeadKind.CLASS: Kind.CLASS,
}  # All other kinds are logits of probabilities.
_SUMMED = {Kind.RIDGE: 2, Kind.TEXT: 2, Kind.CLASS: 1}  # axis along which probabilities sum to 1


def kind_of(head: str) -> Kind:
    """Find the kind of an output by its name: logits where no network of the registry has such an output."""
    return _KINDS.get(head_kind(head), Kind.LOGIT)


def vote(answers: Sequence[Mapping[str, Array]], weights: Sequence[float] | None = None) -> dict[str, Array]:
    """Average predictions with weights: logits as the probabilities that they stand for, returned as logits.

    Args:
        answers: outputs of the same names and shapes, float32.
        weights: of the answers, above zero or zero, by their share; all alike if None.

    Returns:
        Outputs of the same names, shapes and kinds.

    Raises:
        OptionError: no answers, other names or shapes than the first, or weights that cannot be.
    """
    shares = shares_of(len(answers), weights)
    first = answers[0]
    for other in answers[1:]:
        if {k: np.shape(v) for k, v in other.items()} != {k: np.shape(v) for k, v in first.items()}:
            raise _bad(f"{_shapes(other)} beside {_shapes(first)}", "the same names and shapes")
    if len(answers) == 1:
        return dict(first)
    return {name: _mean(kind_of(name), [np.asarray(a[name]) for a in answers], shares) for name in first}


def _mean(kind: Kind, parts: Sequence[Array], shares: Array) -> Array:
    if kind is Kind.VALUE:
        return np.asarray(sum(np.float32(s) * part for s, part in zip(shares, parts, strict=True)))
    if kind in _SUMMED:
        return _log_mean([part - _log_sum(part, _SUMMED[kind]) for part in parts], shares)
    # The logit of p is log p - log(1 - p), and log p is -log(1 + exp(-logit)).
    yes, no = (_log_mean([-np.logaddexp(0, sign * part) for part in parts], shares) for sign in (-1, 1))
    return yes - no


def _log_sum(logits: Array, axis: int) -> Array:
    top = logits.max(axis=axis, keepdims=True)
    return np.asarray(top + np.log(np.exp(logits - top).sum(axis=axis, keepdims=True)))


def _log_mean(logs: Sequence[Array], shares: Array) -> Array:
    """Compute the logarithm of the weighted mean of numbers given by their logarithms."""
    total: Array | None = None
    for share, part in zip(shares, logs, strict=True):
        if share > 0:
            term = part + np.float32(np.log(share))
            total = term if total is None else np.logaddexp(total, term)
    assert total is not None
    return total


def shares_of(n: int, weights: Sequence[float] | None) -> Array:
    """Normalise weights to (n,) shares that sum to 1. Raises `OptionError` for weights that do not fit."""
    if n == 0:
        raise _bad("nobody to ask", "at least one voter")
    shares = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    if shares.shape != (n,) or not np.isfinite(shares).all() or (shares < 0).any() or not shares.any():
        raise _bad(f"weights {np.asarray(weights).tolist()} of {n} voters", "one each, none below 0, and not all 0")
    return np.asarray(shares / shares.sum())


def _shapes(answer: Mapping[str, Array]) -> str:
    return ", ".join(f"{name} {np.shape(value)}" for name, value in sorted(answer.items()))


def _bad(got: str, expected: str) -> OptionError:
    return OptionError("The answers cannot be put together", got=got, expected=expected,
                       hint="Let networks of one stage see one picture.")  # fmt: skip
