"""Paper speed and gain: of all pairs that devices have, the most probable, given everything that a page shows.

Each source adds its log-likelihood: calibration text, calibration pulses, the length of the rows, the breadth and
distance of the beats, and the height of the curves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from ecg_trt.layout import (
    COMMON_GAINS_MM_PER_MV,
    COMMON_SPEEDS_MM_PER_S,
    GAINS_MM_PER_MV,
    LIMB_LEADS,
    PAPER_SPEEDS_MM_PER_S,
    PULSE_SECONDS,
    STANDARD_GAIN_MM_PER_MV,
    STANDARD_SPEED_MM_PER_S,
)
from ecg_trt.page.pulses import PulseSigns
from ecg_trt.printed import Quantity
from ecg_trt.stages.caption import Printed, greatest
from ecg_trt.types import Array, PageWarning, WarningCode

_SPEEDS, _GAINS = np.array(PAPER_SPEEDS_MM_PER_S), np.array(GAINS_MM_PER_MV)
_CLAUSES = {
    "print": "it prints {}",
    "pulse": "its calibration pulses measure {}",
    "rows": "its rows are as long as at {}",
    "beats": "its beats are as broad and as far apart as at {}",
}
_SPEED, _GAIN, _CHEST_GAIN = (Quantity.SPEED,), (Quantity.GAIN, Quantity.LIMB_GAIN), (Quantity.CHEST_GAIN,)
_MEASURED_LOG_ODDS = 1.4  # That text, pulses or rows add to the value, for it to count as measured; a factor of four.
_CONTRADICTED_LOG_ODDS = 2.5  # By which a source prefers another value, for a warning; a factor of twelve.
_USER_ERROR = 0.1  # Probability that a value which is given is not that of the page.
_CHEST_GAIN_READ = 0.5  # Least probability of a gain that is printed for the chest leads alone.
_LONG_ROW, _SHORT_ROW = 1.15, 0.85  # Length of the longest row, as a share of the record's.
_ANY_HEIGHT = 0.02  # Probability of curves of any height.


@dataclass(frozen=True, slots=True)
class ScaleSigns:
    """Signs of a page's paper speed and gain.

    Attributes:
        printed: probability of each value that is read.
        pulses: calibration pulses.
        longest_mm: length of the longest row.
        record_s: length of a record in the page's layout, s; 0 if the layout is not known.
        beats: (speeds,) log-likelihood of the breadth and distance of beats at each of `PAPER_SPEEDS_MM_PER_S`, zeros
            before the traces are known.
        height_mm: median over the rows of the range of their curves, 0 before the traces are known.
    """

    printed: Printed
    pulses: PulseSigns
    longest_mm: float = 0.0
    record_s: float = 0.0
    beats: Array = field(default_factory=lambda: np.zeros(len(PAPER_SPEEDS_MM_PER_S)))
    height_mm: float = 0.0


@dataclass(frozen=True, slots=True)
class ScaleModel:
    """Likelihoods of what a page shows at each speed and gain, by `python -m train.calibrate_scales`.

    Attributes:
        speed_prior: of 25 mm/s, of 50, and of all others together; set, not fitted, as hospitals differ.
        gain_prior: of 10 mm/mV, of 5 and 20 together, and of all others together; likewise.
        read_error: probability that a value was read which is not the page's, any of them.
        cut: probability that the first digits of a number were lost, so that 25 is read as 5; set by one photo of 17.
        cut_last: probability that the last ones were, so that 50 is read as 5; set, as no page that was fitted has it.
        ink: power of the ink along the outline of a pulse to which its likelihood is proportional.
        least_ink: ink that is seen where nothing is.
        no_pulse: probability that ink along all of a pulse's outline is none; of fainter ink, this to the power of it.
        width, height: spread of the logarithms of a pulse's width and height on the heatmap.
        wide: by which the logarithm of the width is too great.
        narrow: spread of the logarithms of smaller widths: the half of a pulse next to the trace is often faint. Set so
            that pulses of 3 mm on four clinical pages at 25 mm/s are no contradiction.
        no_patch: probability that what looks like a pulse on the heatmap is none.
        beats: share of the beats' log-likelihood that counts, as pages differ from the records it was fitted to.
        odd_beats: probability of beats that are as broad and as far apart as at any speed.
        short_rows, long_rows: likelihood of rows that are shorter or longer than a record, for one of rows as long.
        millivolts, spread: middle of the heights of curves, mV, and spread of their logarithm.
    """

    speed_prior: tuple[float, float, float] = (0.88, 0.1, 0.02)
    gain_prior: tuple[float, float, float] = (0.88, 0.1, 0.02)
    read_error: float = 0.009
    cut: float = 0.1
    cut_last: float = 0.05
    ink: float = 4.5
    least_ink: float = 0.125
    no_pulse: float = 2.5e-5
    width: float = 0.24
    wide: float = 0.34
    narrow: float = 0.45
    height: float = 0.14
    no_patch: float = 0.23
    beats: float = 0.82
    odd_beats: float = 0.03
    short_rows: float = 0.76
    long_rows: float = 0.05
    millivolts: float = 1.0
    spread: float = 0.58

    def sources(self, signs: ScaleSigns) -> dict[str, Array]:
        """Log-likelihood (speeds, gains) of what each source shows, up to a constant."""
        speeds, gains = (_any_of(signs.printed, kinds) for kinds in (_SPEED, _GAIN))
        seconds = signs.longest_mm / _SPEEDS / signs.record_s if signs.record_s else np.ones(len(_SPEEDS))
        rows = np.log(
            np.where(seconds > _LONG_ROW, self.long_rows, np.where(seconds < _SHORT_ROW, self.short_rows, 1.0))
        )
        height = np.zeros(len(_GAINS))
        if signs.height_mm > 0:
            height = -0.5 * (np.log(signs.height_mm / _GAINS / self.millivolts) / self.spread) ** 2
        return {
            "print": self._print(speeds, _SPEEDS)[:, None] + self._print(gains, _GAINS),
            "pulse": self._pulse(signs.pulses),
            "rows": _for_all_gains(rows),
            "beats": _for_all_gains(_mixed(self.beats * signs.beats, self.odd_beats)),
            "height": np.repeat(_mixed(height, _ANY_HEIGHT)[None], len(_SPEEDS), 0),
        }

    def prior(self, speed: float | None, gain: float | None) -> Array:
        """Logarithm (speeds, gains) of what is known of any page, or given by its user."""
        speed_share = _shares(_SPEEDS, (STANDARD_SPEED_MM_PER_S,), COMMON_SPEEDS_MM_PER_S, self.speed_prior)
        gain_share = _shares(_GAINS, (STANDARD_GAIN_MM_PER_MV,), COMMON_GAINS_MM_PER_MV, self.gain_prior)
        for share, values, given in ((speed_share, _SPEEDS, speed), (gain_share, _GAINS, gain)):
            if given is not None:
                share[:] = np.where(
                    values == given, 1 - _USER_ERROR, _USER_ERROR * share / share[values != given].sum()
                )
        return np.asarray(np.log(speed_share)[:, None] + np.log(gain_share))

    def _print(self, read: Mapping[float, float], values: Array) -> Array:
        """Log-likelihood of each value, by the probability with which it is read."""
        share = np.array([read.get(float(v), 0.0) for v in values])
        texts = [f"{v:g}" for v in values]
        ends = np.array([[longer != text and longer.endswith(text) for text in texts] for longer in texts])
        begins = np.array([[longer != text and longer.startswith(text) for text in texts] for longer in texts])
        share = share + (self.cut * ends + self.cut_last * begins) @ share
        return np.asarray(np.log(self.read_error / len(values) + (1 - self.read_error) * share))

    def _pulse(self, pulses: PulseSigns) -> Array:
        """Log-likelihood (speeds, gains) of pulses, by their outline in ink and by their place on the heatmap."""
        ink = np.full((len(_SPEEDS), len(_GAINS)), float(pulses.ink.min()))
        ink[np.ix_(np.isin(_SPEEDS, COMMON_SPEEDS_MM_PER_S), np.isin(_GAINS, COMMON_GAINS_MM_PER_MV))] = pulses.ink
        drawn = _mixed(self.ink * np.log(ink + self.least_ink), self.no_pulse ** pulses.ink.max())
        if not pulses.response > 0:
            return drawn
        width = np.log(pulses.width_mm / PULSE_SECONDS / _SPEEDS) - self.wide
        width /= np.where(width < 0, np.inf if pulses.is_cut else self.narrow, self.width)
        height = np.log(pulses.height_mm / _GAINS) / self.height
        patch = -0.5 * (width[:, None] ** 2 + height**2)
        return drawn + _mixed(patch, self.no_patch**pulses.response)


@dataclass(frozen=True, slots=True)
class Scales:
    """Paper speed and gain, and how they were found.

    Attributes:
        speed_mm_per_s: paper speed.
        gain_mm_per_mv: gain of the limb leads, and of all others unless the page prints one for the chest leads.
        chest_gain_mm_per_mv: gain of all but the limb leads.
        assumed: of "speed" and "gain", those that were neither measured nor given.
        warnings: contradictions, and a speed that was measured by the beats alone.
        uncertainty: probability that speed or gain is another.
    """

    speed_mm_per_s: float
    gain_mm_per_mv: float
    chest_gain_mm_per_mv: float
    assumed: tuple[str, ...]
    warnings: tuple[PageWarning, ...]
    uncertainty: float = 0.0

    def gain_of(self, lead: str) -> float:
        """Gain of a lead, mm/mV."""
        return self.gain_mm_per_mv if lead in LIMB_LEADS else self.chest_gain_mm_per_mv


def read_scales(
    signs: ScaleSigns, *, speed: float | None = None, gain: float | None = None, chest_gain: float | None = None,
    model: ScaleModel | None = None,
) -> Scales:  # fmt: skip
    """Choose speed and gain: as given, else the most probable.

    Where print, pulses, rows or beats contradict what was taken, a warning says so.

    Args:
        signs: what the page shows.
        speed: mm/s, if it is known.
        gain: mm/mV, if it is known.
        chest_gain: mm/mV of all but the limb leads, if it is known; `gain`, where that is known, if not.
        model: the likelihoods, those that were fitted if None.
    """
    model = model or ScaleModel()
    sources, prior = model.sources(signs), model.prior(speed, gain)
    share = np.exp(_posterior(prior, sources))
    assumed, warnings, places = [], [], []
    for axis, quantity in enumerate(
        (_Quantity("speed", "mm/s", _SPEEDS, speed), _Quantity("gain", "mm/mV", _GAINS, gain))
    ):
        place = quantity.place(share.sum(1 - axis))
        of_sources = {source: _best_of_others(table, axis) for source, table in sources.items()}
        if is_assumed := quantity.is_assumed(_best_of_others(prior, axis), of_sources, place):
            assumed.append(quantity.name)
        if is_assumed and quantity.name == "speed" and _SPEEDS[place] != STANDARD_SPEED_MM_PER_S:
            text = f"The beats are as broad and as far apart as at {_SPEEDS[place]:g} mm/s."
            warnings.append(PageWarning(WarningCode.SPEED_FROM_BEATS, text))
        warnings += quantity.contradictions(of_sources, place)
        places.append(place)
    speed_read, gain_read = float(_SPEEDS[places[0]]), float(_GAINS[places[1]])
    chest = _any_of(signs.printed, _CHEST_GAIN)
    best = max(chest, key=lambda value: chest[value], default=0.0)
    if chest_gain is None:
        chest_gain = best if gain is None and chest.get(best, 0.0) > _CHEST_GAIN_READ else gain_read
    uncertainty = 1 - float(share[places[0], places[1]])
    return Scales(speed_read, gain_read, chest_gain, tuple(assumed), tuple(warnings), uncertainty)


@dataclass(frozen=True, slots=True)
class _Quantity:
    """Speed or gain: its name, its unit, the values that devices have, and the one that is given, if any."""

    name: str
    unit: str
    values: Array
    given: float | None

    def place(self, share: Array) -> int:
        """Index of the value that is taken, by the probability of each."""
        return int(share.argmax()) if self.given is None else self.values.tolist().index(self.given)

    def is_assumed(self, prior: Array, of_sources: Mapping[str, Array], place: int) -> bool:
        """True if neither the user nor text, pulses or rows by themselves give the value."""
        added = (_log_odds(prior + of_sources[source], place) for source in ("print", "pulse", "rows"))
        return self.given is None and max(added) - _log_odds(prior, place) < _MEASURED_LOG_ODDS

    def contradictions(self, of_sources: Mapping[str, Array], place: int) -> Iterator[PageWarning]:
        """Warn of sources that prefer another value."""
        code = WarningCode.SPEED_DISPUTED if self.name == "speed" else WarningCode.GAIN_DISPUTED
        given = "" if self.given is None else " as given"
        for source, clause in _CLAUSES.items():
            likely = of_sources[source]
            other = int(likely.argmax())
            if likely[other] - likely[place] > _CONTRADICTED_LOG_ODDS:
                shown = clause.format(f"{self.values[other]:g} {self.unit}")
                taken = f"{self.values[place]:g} {self.unit}{given}"
                yield PageWarning(code, f"The page was read at {taken}, but {shown}. Compare with the page.")


def log_posterior(signs: ScaleSigns, model: ScaleModel) -> dict[tuple[float, float], float]:
    """Log-probability of each (speed, gain), without a word of the user."""
    table = _posterior(model.prior(None, None), model.sources(signs))
    return {
        (s, g): float(table[k, n]) for k, s in enumerate(PAPER_SPEEDS_MM_PER_S) for n, g in enumerate(GAINS_MM_PER_MV)
    }


def _posterior(prior: Array, sources: Mapping[str, Array]) -> Array:
    """Log-probability (speeds, gains)."""
    return _normalised(prior + sum(sources.values()))


def _any_of(printed: Printed, kinds: tuple[Quantity, ...]) -> dict[float, float]:
    return greatest(*(printed.get(kind, {}) for kind in kinds))


def _best_of_others(table: Array, axis: int) -> Array:
    """Log-likelihood of each speed (axis 0) or gain, with the best of the other."""
    return np.asarray(table.max(1 - axis))


def _shares(values: Array, standard: tuple[float, ...], common: tuple[float, ...],
            prior: tuple[float, float, float]) -> Array:  # fmt: skip
    """Spread the prior of the standard, the other common and all other values over them."""
    kinds = np.isin(values, standard), np.isin(values, common) & ~np.isin(values, standard), ~np.isin(values, common)
    return np.asarray(sum(share * kind / kind.sum() for share, kind in zip(prior, kinds, strict=True)))


def _mixed(log_likelihood: Array, share: float) -> Array:
    """Mix a log-likelihood with that of something else, which may look like any value: no source is sure of one."""
    return np.log(share / log_likelihood.size + (1 - share) * np.exp(_normalised(log_likelihood)))


def _log_odds(log_likelihood: Array, k: int) -> float:
    """Compute the log-odds of one value against all others together."""
    return float(log_likelihood[k] - np.logaddexp.reduce(np.delete(log_likelihood, k)))


def _normalised(log_share: Array) -> Array:
    return log_share - np.logaddexp.reduce(log_share, axis=None)


def _for_all_gains(of_speeds: Array) -> Array:
    return np.repeat(of_speeds[:, None], len(_GAINS), 1)
