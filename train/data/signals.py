"""Sources of heartbeats: the simulator, or records in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from ecg_trt.layout import LEADS
from ecg_trt.synth.page import Page, draw_page
from ecg_trt.synth.signals import simulate
from ecg_trt.synth.spec import ANY_PAGE, draw_spec
from ecg_trt.types import Array
from train.config import Data

FS = 500.0
N = 5000
_MUSCLE_SHARE, _MUSCLE_MV, _MUSCLE_HZ = 0.2, 0.03, (20.0, 150.0)  # of records; median RMS; band of muscle noise
HELD_OUT = 0.1  # the last tenth of the records is kept for validation


def _from_npz(path: Path) -> list[Array]:
    stored = np.load(path)
    if "delta_uv" in stored:
        return list((np.cumsum(stored["delta_uv"].astype(np.int32), axis=-1) / 1000).astype(np.float32))
    return list(np.asarray(stored[stored.files[0]], np.float32))


def _from_csv(path: Path) -> list[Array]:
    table = np.genfromtxt(path, delimiter=",", names=True)
    if not set(LEADS) <= set(table.dtype.names or ()):
        return []
    return [_to_500_hz(np.stack([table[lead] for lead in LEADS]).astype(np.float32), None)]


def _from_wfdb(path: Path) -> list[Array]:
    import wfdb

    record = wfdb.rdrecord(str(path.with_suffix("")))
    names = {name.upper(): k for k, name in enumerate(record.sig_name)}
    if not all(lead.upper() in names for lead in LEADS):
        return []
    signal = record.p_signal.T[[names[lead.upper()] for lead in LEADS]].astype(np.float32)
    return [_to_500_hz(signal, record.fs)]


def _to_500_hz(signal: Array, fs: float | None) -> Array:
    """Resample to 500 Hz; a file without a rate is taken to hold 10 s."""
    fs = fs or signal.shape[1] / 10.0
    if fs == FS:
        return signal
    from scipy.signal import resample_poly

    return resample_poly(signal, int(FS), round(fs), axis=1).astype(np.float32)


def _muscle_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw (leads, n) mV of muscle noise, white within its band."""
    spectrum = np.fft.rfft(rng.standard_normal(shape), axis=1)
    hz = np.fft.rfftfreq(shape[1], 1 / FS)
    noise = np.fft.irfft(spectrum * ((hz > _MUSCLE_HZ[0]) & (hz < _MUSCLE_HZ[1])), shape[1], axis=1)
    return np.asarray(noise / noise.std() * _MUSCLE_MV * np.exp(rng.normal(0, 0.7)))


class PageSource(Protocol):
    """Source of pages for the simulated camera."""

    def page(self, rng: np.random.Generator, px_per_mm: float, voltage: float = 1.0, **look: object) -> Page:
        """Give one page at a resolution.

        Where it is drawn for the occasion, its voltages are scaled by `voltage`, and `look` is fixed as by `draw_spec`.
        """
        ...


class SignalSource:
    """Draws (12, 5000) float32 mV at 500 Hz, half recorded and half simulated where there are records.

    Args:
        folder: file or folder with .npz, .csv or WFDB .hea records, or None for the simulator alone.
        held_out: draw from the records kept for validation instead of the others.
    """

    def __init__(self, folder: Path | None = None, *, held_out: bool = False) -> None:
        records: list[Array] = []
        if folder is not None:
            readers = {".npz": _from_npz, ".csv": _from_csv, ".hea": _from_wfdb}
            files = [folder] if folder.is_file() else sorted(folder.rglob("*"))
            for path in files:
                if path.suffix in readers:
                    records += [r[:, :N] for r in readers[path.suffix](path) if r.shape[1] >= N]
            if not records:
                raise FileNotFoundError(
                    f"no 10 s twelve-lead record under {folder}: expected .npz, .csv or WFDB .hea files"
                )
        split = len(records) - round(HELD_OUT * len(records))
        self.records = records[split:] if held_out else records[:split]

    def draw(self, rng: np.random.Generator) -> Array:
        """Draw one record, its amplitude varied a little."""
        if not self.records or rng.random() < 0.5:
            signal = simulate(rng, fs=FS, seconds=N / FS)
        else:
            signal = np.nan_to_num(self.records[rng.integers(len(self.records))])
            if rng.random() < 0.15:
                signal = -signal
        signal = signal * np.exp(rng.normal(0, 0.25))
        if rng.random() < _MUSCLE_SHARE:
            signal = signal + _muscle_noise(rng, signal.shape)
        return signal.astype(np.float32)

    def page(self, rng: np.random.Generator, px_per_mm: float, voltage: float = 1.0, **look: object) -> Page:
        """Draw a page of one record, at random except for its `look`; its voltages are scaled by `voltage`."""
        spec = draw_spec(rng, layout=ANY_PAGE, **look)
        return draw_page(rng, voltage * self.draw(rng), FS, px_per_mm=px_per_mm, spec=spec)


def open_signals(data: Data, held_out: bool) -> SignalSource:
    """Open the source of pages that the settings name; `held_out` takes the records kept for validation."""
    return SignalSource(Path(data.signals) if data.signals else None, held_out=held_out)
