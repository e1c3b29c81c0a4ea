"""Weighted sums of losses by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from ecg_trt.errors import OptionError
from ecg_trt.inference.vote import Kind, kind_of
from train.config import unknown
from train.losses import classes, maps, ridge, text
from train.losses.target import Target

Maps = dict[str, Tensor]
Targets = dict[str, Target]
Loss = Callable[[Tensor, Target], Tensor]

_LOGITS = {f.__name__: f for f in (maps.bce, maps.focal, maps.heatmap_focal, maps.dice, maps.tversky, maps.jaccard)}
_VALUES = {f.__name__: f for f in (maps.l1, maps.smooth_l1)}
_ROWS = {f.__name__: f for f in (ridge.l1, ridge.difference_l1, ridge.snr, ridge.stft)}
_COLUMNS = {"cross_entropy": ridge.cross_entropy}
# Kind of a head, and the losses that fit it.
LOSSES: dict[str, dict[str, Callable[..., Tensor]]] = {
    "logit": _LOGITS, "value": _VALUES, "ridge": {**_LOGITS, **_COLUMNS, **_ROWS}, "text": {"ctc": text.ctc},
    "class": {"cross_entropy": classes.cross_entropy},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Term:
    head: str
    name: str
    weight: float
    loss: Loss

    def __call__(self, answer: Tensor, target: Target, row: Tensor | None) -> Tensor:
        if kind_of(self.head) is not Kind.RIDGE:
            return self.loss(answer, target)
        if self.name in _ROWS:
            assert row is not None
            return self.loss(row, target)
        if self.name in _LOGITS:
            return self.loss(answer, ridge.as_map(target, answer.shape[2]))
        return self.loss(answer.squeeze(1), target)


class Criterion:
    """The loss of a stage.

    Args:
        terms: head to loss to its weight, or to a table of ``weight`` and the loss's options; weight 0 leaves it out.

    Raises:
        OptionError: a loss or an option that is not known, or a weight below 0.
    """

    def __init__(self, terms: Mapping[str, Mapping[str, Any]]) -> None:
        made = [_term(head, name, given) for head, losses in terms.items() for name, given in losses.items()]
        self.terms = [term for term in made if term.weight]

    @property
    def heads(self) -> set[str]:
        """Heads that have a loss."""
        return {term.head for term in self.terms}

    def __call__(self, out: Maps, targets: Targets) -> tuple[Tensor, dict[str, float]]:
        """The weighted sum, and each loss by ``head.loss`` before it is weighted.

        Responses of deep supervision, ``head@k``, count half as much for each coarser level.
        """
        levels = sorted({int(key.partition("@")[2] or 0) for key in out})
        share = 1 / sum(0.5**k for k in levels)
        total, parts = next(iter(out.values())).new_zeros(()), {}
        for k in levels:
            answers = {key.partition("@")[0]: v for key, v in out.items() if int(key.partition("@")[2] or 0) == k}
            row = self._row(answers)
            for term in self.terms:
                if term.head in answers:
                    value = term(answers[term.head], targets[term.head], row)
                    total = total + share * 0.5**k * term.weight * value
                    if k == 0:
                        parts[f"{term.head}.{term.name}"] = value.item()
        return total, parts

    def _row(self, answers: Maps) -> Tensor | None:
        """The soft-argmax, once for all losses that need it."""
        wanted = any(kind_of(term.head) is Kind.RIDGE and term.name in _ROWS for term in self.terms)
        return ridge.expected_row(answers["ridge"].squeeze(1)) if wanted and "ridge" in answers else None


def _term(head: str, name: str, given: Any) -> _Term:
    known = LOSSES[kind_of(head).value]
    if name not in known:
        raise unknown(f"loss of {head}", name, tuple(known))
    options = dict(given) if isinstance(given, Mapping) else {"weight": given}
    weight = options.pop("weight", 1.0)
    accepted = [p.name for p in inspect.signature(known[name]).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for key in options:
        if key not in accepted:
            raise unknown(f"option of {head}.{name}", key, ("weight", *accepted))
    if not isinstance(weight, (int, float)) or weight < 0:
        raise OptionError(f"The weight of {head}.{name} is wrong", got=repr(weight), expected="a number, 0 or more",
                          hint="Correct the setting.")  # fmt: skip
    return _Term(head, name, float(weight), partial(known[name], **options))
