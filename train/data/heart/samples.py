"""Training samples of the networks that map activation and potentials: twelve leads in, the heart out.

Values are those of the networks: leads in mV, activation in units of `ACTIVATION_MS`, potentials as the share of the
way from `REST_MV` to 50 mV (as Landajuela et al., Computing in Cardiology 2022, scale them).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ecg_trt.analysis.electrophysiology import ACTIVATION_MS, POTENTIAL_RANGE_MV, REST_MV
from ecg_trt.types import Array
from train.config import Data
from train.data.heart.electrodes import Torso, twelve_leads
from train.data.heart.heart import stored_heart
from train.data.heart.published import PublishedBeats
from train.data.heart.simulator import Beat, Simulator
from train.data.samples import Sample
from train.losses import Maps

FOLDER = Path("runs/hearts")  # where hearts are kept whose waves have been computed
TRAINING_HEARTS, HELD_OUT_HEARTS = range(100), range(1000, 1020)  # by seed
_BEATS = 48  # drawn of one heart in one chest
_MISPLACED_SHARE, _MISPLACED_MM = 0.25, 12.0  # of chests; deviation of each electrode there
_LOST_SHARE, _MOST_LOST = 0.15, 5  # of beats that lack leads, and of leads
_GAIN, _NOISE_MV, _WANDER_MV = 0.15, 0.02, 0.03  # deviation of the logarithm; greatest deviations


class BeatSource(Protocol):
    """Source of beats of hearts."""

    def beats(self, rng: np.random.Generator, count: int) -> list[Beat]:
        """Draw beats of one heart in one chest."""
        ...


@dataclass(frozen=True, slots=True)
class SimulatedBeats:
    """Beats of simulated hearts.

    Attributes:
        folder: where hearts are kept; those that are not there are computed.
        seeds: of the hearts.
        misplaced: share of chests whose electrodes are misplaced.
    """

    folder: Path
    seeds: range
    misplaced: float = _MISPLACED_SHARE

    def beats(self, rng: np.random.Generator, count: int) -> list[Beat]:
        """Draw beats of one heart in one chest."""
        heart = stored_heart(int(rng.choice(self.seeds)), self.folder)
        torso = Torso.draw(rng)
        if rng.random() < self.misplaced:
            torso = Torso(torso.places + rng.normal(0, _MISPLACED_MM, torso.places.shape))
        simulator = Simulator(heart, torso)
        return [simulator.draw(rng) for _ in range(count)]


@lru_cache(maxsize=4)
def open_beats(data: Data, held_out: bool) -> BeatSource:
    """Open the public data set if `data.signals` names its folder, else the simulator, whose hearts lie there.

    Args:
        data: of the run.
        held_out: take the hearts that are kept for validation and test.
    """
    folder = Path(data.signals) if data.signals else FOLDER
    if PublishedBeats.is_at(folder):
        return PublishedBeats.open(folder, held_out=held_out)
    return SimulatedBeats(folder, HELD_OUT_HEARTS if held_out else TRAINING_HEARTS)


def heart_samples(
    rng: np.random.Generator, source: BeatSource, head: str, count: int = _BEATS, kind: str | None = None
) -> list[Sample]:
    """Beats of one heart: leads (12, 500), and activation (75,) or potentials (75, 500) in the networks' units.

    Args:
        rng: source of randomness.
        source: of beats.
        head: "activation" or "potentials".
        count: of beats.
        kind: of picture; beats have none.
    """
    samples, chance = [], torch.Generator().manual_seed(int(rng.integers(2**62)))
    for beat in source.beats(rng, count):
        leads = torch.from_numpy(twelve_leads(beat.electrodes).astype(np.float32))[None]
        samples.append({"image": disturb(leads, chance)[0].numpy(), head: _truth(beat, head)})
    return samples


def _truth(beat: Beat, head: str) -> Array:
    if head == "activation":
        return (beat.activation / ACTIVATION_MS).astype(np.float32)
    return ((beat.potentials - REST_MV) / POTENTIAL_RANGE_MV).astype(np.float32)


def disturb(leads: Tensor, chance: torch.Generator | None = None) -> Tensor:
    """Change amplitudes, add noise and wander, and take leads away, for each beat by itself.

    Args:
        leads: (N, 12, 500) mV.
        chance: source of randomness, on the device of the leads; PyTorch's own if None.
    """
    n, rows, samples = leads.shape

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, device=leads.device, generator=chance)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, device=leads.device, generator=chance)

    gain = torch.exp(_GAIN * normal(n, 1, 1))
    noise = normal(n, rows, samples) * uniform(n, 1, 1) * _NOISE_MV
    ends = normal(n, rows, 2) * uniform(n, 1, 1) * _WANDER_MV
    wander = torch.nn.functional.interpolate(ends, size=samples, mode="linear", align_corners=True)
    rank = uniform(n, rows, 1).argsort(1).argsort(1)
    lost = (rank < uniform(n, 1, 1) * _MOST_LOST) & (uniform(n, 1, 1) < _LOST_SHARE)
    return torch.where(lost, 0.0, leads * gain + noise + wander)


def vary(image: Tensor, truth: Maps) -> tuple[Tensor, Maps]:
    """Disturb a batch that is shown again, and leave its truth as it is."""
    return disturb(image), truth
