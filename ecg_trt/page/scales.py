"""Paper speed and gain, from calibration text, pulses, the lengths of rows and the beats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ecg_trt.layout import (
    COMMON_SPEEDS_MM_PER_S,
    LIMB_LEADS,
    STANDARD_GAIN_MM_PER_MV,
    STANDARD_SPEED_MM_PER_S,
)
from ecg_trt.page.naming import Naming
from ecg_trt.page.pulses import Pulse
from ecg_trt.printed import Quantity
from ecg_trt.stages.caption import Printed, greatest
from ecg_trt.types import PageWarning, WarningCode

_READ, _PLAINLY_READ = 0.9, 0.98  # Probability at which a value counts as read, and at which it needs no support.
_BESIDE = 0.5  # Probability of a value of the other kind that supports a non-standard one.
_RIVAL = 0.25  # Greatest odds of another value, as a share of the best one's.
_ODDS_DISPUTE, _ODDS_ALONE = 1.4, 6.0  # Log-odds of the beats that decide a dispute, and that suffice alone.
_SPEED, _GAIN, _CHEST_GAIN = (Quantity.SPEED,), (Quantity.GAIN, Quantity.LIMB_GAIN), (Quantity.CHEST_GAIN,)
_EVEN = 0.5  # Probability of either side where a page contradicts its user.
_FULL_PAGE = 1.2  # Ratio of a row's length to the record's at one speed, beyond which the next speed is meant.


@dataclass(frozen=True, slots=True)
class Scales:
    """Paper speed and gain, and their sources.

    Attributes:
        speed_mm_per_s: paper speed.
        gain_mm_per_mv: gain of the limb leads, and of all others unless the page prints one for the chest leads.
        chest_gain_mm_per_mv: gain of all but the limb leads.
        assumed: of "speed" and "gain", those that were neither read nor given.
        warnings: contradictions, and a speed that was measured by the beats alone.
        is_disputed: True if something contradicts the values that were taken.
        doubt: probability that a value that was given is wrong: 0.5 for each that the page contradicts.
    """

    speed_mm_per_s: float
    gain_mm_per_mv: float
    chest_gain_mm_per_mv: float
    assumed: tuple[str, ...]
    warnings: tuple[PageWarning, ...]
    is_disputed: bool = False
    doubt: float = 0.0

    def gain_of(self, lead: str) -> float:
        """Gain of a lead, mm/mV."""
        return self.gain_mm_per_mv if lead in LIMB_LEADS else self.chest_gain_mm_per_mv


def read_scales(
    printed: Printed,
    pulses: Pulse,
    naming: Naming,
    *,
    speed_log_odds: float = 0.0,
    speed: float | None = None,
    gain: float | None = None,
) -> Scales:
    """Choose speed and gain: as given, else by print, by pulses or by rows, else the standard ones, as assumed.

    Where print or pulses contradict what was given, a warning says so.

    Where print and pulses dispute the speed, the beats decide. Where nothing measures it, the beats may, and it counts
    as assumed. The speed of a pulse that is not confident is ignored where the beats contradict it.

    Args:
        printed: probability of each value that is read.
        pulses: speed and gain that they measure.
        naming: of the page's strips.
        speed_log_odds: `signal.beat_speed.speed_log_odds`, 0 before the traces are known; of 50 against 25 mm/s, and so
            without a word where the page prints another speed.
        speed: mm/s, if it is known.
        gain: mm/mV, if it is known.
    """
    assumed, warnings, values, is_disputed, doubt = [], [], [], False, 0.0
    if (
        not pulses.is_confident
        and pulses.speed_mm_per_s not in (None, _speed_by_beats(speed_log_odds))
        and abs(speed_log_odds) > _ODDS_DISPUTE
    ):
        is_none = abs(speed_log_odds) > _ODDS_ALONE and pulses.gain_mm_per_mv == STANDARD_GAIN_MM_PER_MV
        pulses = Pulse(None, None if is_none else pulses.gain_mm_per_mv)  # The pulse is none, or its width is wrong.
    by_rows = _speed_of_rows(naming) if pulses.speed_mm_per_s is None else None
    speeds, gains, chest_gains = (
        greatest(*(printed.get(kind, {}) for kind in kinds)) for kinds in (_SPEED, _GAIN, _CHEST_GAIN)
    )
    for name, unit, given, response, beside, measured, standard in (
        ("speed", "mm/s", speed, speeds, gains, pulses.speed_mm_per_s or by_rows, STANDARD_SPEED_MM_PER_S),
        ("gain", "mm/mV", gain, gains, speeds, pulses.gain_mm_per_mv, STANDARD_GAIN_MM_PER_MV),
    ):
        log_odds = speed_log_odds if name == "speed" and set(response) <= set(COMMON_SPEEDS_MM_PER_S) else 0.0
        is_open = not (pulses.is_confident and measured == standard)
        is_backed = max(beside.values(), default=0.0) > _BESIDE or (is_open and log_odds > _ODDS_DISPUTE)
        read = read_setting(response, standard, is_backed=is_backed)
        value = measured if read is None else read
        if None is not read != measured is not None and abs(log_odds) > _ODDS_DISPUTE:
            value = _speed_by_beats(log_odds)
        if given is None:
            if value is None:
                assumed.append(name)
            if None is not read != measured is not None:
                is_disputed = True
                source = "rows are as long as at" if measured == by_rows else "calibration pulse measures"
                warnings.append(_disputed(
                    name, f"The page prints a {name} of {read:g} {unit}, but its {source} {measured:g} {unit}: "
                    f"{value:g} {unit} was taken.",
                ))  # fmt: skip
            elif value is None and log_odds > _ODDS_ALONE:
                value = _speed_by_beats(log_odds)
                text = f"The beats are as broad and as far apart as at {value:g} {unit}."
                warnings.append(PageWarning(WarningCode.SPEED_FROM_BEATS, text))
            elif value is not None and log_odds * (1 if value == standard else -1) > _ODDS_ALONE:
                is_disputed = True
                warnings.append(_disputed(
                    name, f"The page was read as printed at {value:g} {unit}, but its beats are as broad and as far "
                    f"apart as at {_speed_by_beats(log_odds):g} {unit}. Compare with the page.",
                ))  # fmt: skip
        elif value not in (None, given) and (read is not None or pulses.is_confident):
            is_disputed, doubt = True, 1 - (1 - doubt) * _EVEN
            source = "its calibration pulse measures" if read is None else "it prints"
            warnings.append(_disputed(
                name, f"The page was read at {given:g} {unit} as it was told, but {source} {value:g} {unit}. Compare "
                "with the page.",
            ))  # fmt: skip
        values.append(float(given or value or standard))
    chest = None if gain else read_setting(chest_gains, values[1], is_backed=bool(gains or speeds))
    return Scales(values[0], values[1], chest or values[1], tuple(assumed), tuple(warnings), is_disputed, doubt)


def _disputed(name: str, text: str) -> PageWarning:
    return PageWarning(WarningCode.SPEED_DISPUTED if name == "speed" else WarningCode.GAIN_DISPUTED, text)


def _speed_by_beats(log_odds: float) -> float:
    slow, fast = COMMON_SPEEDS_MM_PER_S
    return fast if log_odds > 0 else slow


def read_setting(response: Mapping[float, float], standard: float, *, is_backed: bool = False) -> float | None:
    """Read the one value of a kind, speed or gain, that the page prints; None where none or several are read.

    Args:
        response: probability of each value that is read.
        standard: the standard value; another is believed only if its probability is very high, or if it is backed.
        is_backed: True if another source supports a non-standard value, or a value of another kind is read beside it.
    """
    if not response:
        return None
    best = max(response, key=lambda value: response[value])
    rival = max((share for value, share in response.items() if value != best), default=0.0)
    is_alone = rival * (1 - response[best]) < _RIVAL * response[best] * (1 - rival)
    least = _READ if is_backed or best == standard else _PLAINLY_READ
    return best if response[best] > least and is_alone else None


def _speed_of_rows(naming: Naming) -> float | None:
    """Measure the speed by a row of a known layout that is too long for 25 mm/s; None for other rows."""
    slow, fast = COMMON_SPEEDS_MM_PER_S
    return fast if naming.is_known and naming.longest_mm > _FULL_PAGE * naming.layout.seconds * slow else None
