"""Paper speed and gain: what the page prints about them, what its pulses measure, and what its rows ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecg_trt.layout import (
    GAIN_WORDS,
    PAPER_SPEEDS_MM_PER_S,
    SPEED_WORDS,
    STANDARD_GAIN_MM_PER_MV,
    STANDARD_SPEED_MM_PER_S,
)
from ecg_trt.page.naming import Naming
from ecg_trt.page.pulses import Pulse
from ecg_trt.types import PageWarning, WarningCode

_READ, _PLAINLY_READ = 0.9, 0.98  # response at which a setting is taken as read, and at which it needs no backing
_BESIDE = 0.5  # response to a setting of the other kind, that backs what is unusual
_RIVAL = 0.25  # greatest odds of another setting, as a share of the best one's
_ODDS_DISPUTE, _ODDS_UNTOLD = 1.4, 6.0  # of the waves: to settle a dispute, and to tell or object
_FULL_PAGE = 1.2  # by which a row is longer than the record at one speed, so that it must be the next


@dataclass(frozen=True, slots=True)
class Scales:
    """Paper speed and gain, and where they come from.

    Attributes:
        speed_mm_per_s: paper speed.
        gain_mm_per_mv: gain.
        assumed: of "speed" and "gain", those that were neither read nor given.
        warnings: contradictions, and a speed that the beats alone give.
        is_disputed: whether something contradicts what was taken.
    """

    speed_mm_per_s: float
    gain_mm_per_mv: float
    assumed: tuple[str, ...]
    warnings: tuple[PageWarning, ...]
    is_disputed: bool = False


def read_scales(
    printed: Mapping[str, float], pulses: Pulse, naming: Naming, *, waves: float = 0.0, speed: float | None = None,
    gain: float | None = None,
) -> Scales:  # fmt: skip
    """Speed and gain: what is given, else what print says, or pulses, or rows, else the usual, as assumed.

    Where print and pulses dispute the speed, the waves decide; where nothing tells it, they may, and it is assumed.
    What a pulse that is not sure says of speed is not heard where the waves speak against it.

    Args:
        printed: response to each of `layout.SETTING_WORDS`, 0..1.
        pulses: what they say.
        naming: the page's strips.
        waves: `signal.beat_speed.fast_odds`, 0 before there are waves.
        speed: mm/s, if it is known.
        gain: mm/mV, if it is known.
    """
    assumed, warnings, values, is_disputed = [], [], [], False
    if not pulses.is_sure and pulses.speed_mm_per_s not in (None, _by_waves(waves)) and abs(waves) > _ODDS_DISPUTE:
        is_none = abs(waves) > _ODDS_UNTOLD and pulses.gain_mm_per_mv == STANDARD_GAIN_MM_PER_MV
        pulses = Pulse(None, None if is_none else pulses.gain_mm_per_mv)  # no pulse, or one whose width is misread
    by_rows = _speed_of_rows(naming) if pulses.speed_mm_per_s is None else None
    for name, unit, given, words, measured, usual in (
        ("speed", "mm/s", speed, SPEED_WORDS, pulses.speed_mm_per_s or by_rows, STANDARD_SPEED_MM_PER_S),
        ("gain", "mm/mV", gain, GAIN_WORDS, pulses.gain_mm_per_mv, STANDARD_GAIN_MM_PER_MV),
    ):
        odds = waves if name == "speed" else 0.0
        is_open = not (pulses.is_sure and measured == usual)
        said = read_setting(printed, words, usual, is_backed=is_open and odds > _ODDS_DISPUTE)
        told = measured if said is None else said
        if None is not said != measured is not None and abs(odds) > _ODDS_DISPUTE:
            told = _by_waves(odds)
        if given is None:
            if told is None:
                assumed.append(name)
            if None is not said != measured is not None:
                is_disputed = True
                source = "rows are as long as at" if measured == by_rows else "calibration pulse measures"
                warnings.append(_disputed(
                    name, f"The page prints a {name} of {said:g} {unit}, but its {source} {measured:g} {unit}: "
                    f"{told:g} {unit} was taken.",
                ))  # fmt: skip
            elif told is None and odds > _ODDS_UNTOLD:
                told = _by_waves(odds)
                text = f"The beats are as broad and as far apart as at {told:g} {unit}."
                warnings.append(PageWarning(WarningCode.SPEED_FROM_BEATS, text))
            elif told is not None and odds * (1 if told == usual else -1) > _ODDS_UNTOLD:
                is_disputed = True
                warnings.append(_disputed(
                    name, f"The page was read as printed at {told:g} {unit}, but its beats are as broad and as far "
                    f"apart as at {_by_waves(odds):g} {unit}. Compare with the page.",
                ))  # fmt: skip
        values.append(float(given or told or usual))
    return Scales(values[0], values[1], tuple(assumed), tuple(warnings), is_disputed)


def _disputed(name: str, text: str) -> PageWarning:
    return PageWarning(WarningCode.SPEED_DISPUTED if name == "speed" else WarningCode.GAIN_DISPUTED, text)


def _by_waves(odds: float) -> float:
    slow, fast = PAPER_SPEEDS_MM_PER_S
    return fast if odds > 0 else slow


def read_setting(
    printed: Mapping[str, float], words: Mapping[str, float], usual: float, *, is_backed: bool = False
) -> float | None:
    """The one setting of a kind that the page prints in words, None where none or several are read.

    Args:
        printed: response to each of `layout.SETTING_WORDS`.
        words: those of the kind, and what they say.
        usual: the usual one; another is believed if it is read plainly, beside a setting of the other kind, or backed.
        is_backed: something else speaks for what is unusual.
    """
    response = {value: printed[word] for word, value in words.items()}
    best = max(response, key=lambda value: response[value])
    rival = max(r for value, r in response.items() if value != best)
    is_alone = rival * (1 - response[best]) < _RIVAL * response[best] * (1 - rival)
    is_backed = is_backed or best == usual or max(r for word, r in printed.items() if word not in words) > _BESIDE
    return best if response[best] > (_READ if is_backed else _PLAINLY_READ) and is_alone else None


def told_alone(printed: Mapping[str, float]) -> dict[str, float]:
    """The responses to the words of speed, of gain, or of both: of what print tells by itself."""
    kinds = ((SPEED_WORDS, STANDARD_SPEED_MM_PER_S), (GAIN_WORDS, STANDARD_GAIN_MM_PER_MV))
    return {w: printed[w] for words, usual in kinds if read_setting(printed, words, usual) is not None for w in words}


def _speed_of_rows(naming: Naming) -> float | None:
    """Speed at which a row of a known layout shows no more than the record: one too long for 25 mm/s is at 50."""
    slow, fast = PAPER_SPEEDS_MM_PER_S
    return fast if naming.is_known and naming.longest_mm > _FULL_PAGE * naming.layout.seconds * slow else None
