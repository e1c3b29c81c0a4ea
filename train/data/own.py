"""One's own pages: found, checked once, and handed out as samples."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecg_trt.digitizer import Digitizer, reading_weights
from ecg_trt.errors import OptionError
from train.data.kit import KitPages, UnfitPageError, find_kit_pages, read_kit_page
from train.data.physionet import FlatPages, Record, find_records, flatten, save
from train.data.samples import Sample
from train.data.signals import HELD_OUT, PageSource

log = logging.getLogger("train.data")
_CHECK_PX_PER_MM = 6.0
Make = Callable[..., list[Sample]]


@dataclass(frozen=True, slots=True)
class OwnPages:
    """What can be drawn from one's own pages for one stage.

    Attributes:
        makers: functions of a generator.
        shares: of each maker, as it has pages.
    """

    makers: tuple[Callable[[np.random.Generator], list[Sample]], ...]
    shares: tuple[float, ...]

    def __call__(self, rng: np.random.Generator) -> list[Sample]:
        """Samples of one page."""
        return self.makers[int(rng.choice(len(self.makers), p=self.shares))](rng)


def open_own_pages(folder: Path, stage: str, make: Make, cache: Path, *, least_db: float, held_out: bool) -> OwnPages:
    """Finds the pages below a folder; what was checked before is not checked again.

    Args:
        folder: pages in the layout of ecg-image-kit, of PhysioNet 2025, or both.
        stage: that is trained. Pages of PhysioNet 2025 teach stage 2 alone.
        make: samples of a page source, `samples.trace_samples` and the like.
        cache: where prepared pages and verdicts are kept.
        least_db: see `physionet.flatten`.
        held_out: the last tenth of the pages, for validation, instead of the others.

    Raises:
        OptionError: nothing below the folder can teach this stage.
    """
    kit, records = find_kit_pages(folder), find_records(folder)
    checked = [p for p, unfit in zip(kit, _check_kit(kit, cache), strict=True) if not unfit]
    flat = _prepare(records, cache, least_db) if stage == "stage2" and records else {}
    kept_kit, kept_flat = (_part(list(pages), held_out) for pages in (checked, flat.values()))
    makers: list[tuple[int, Callable[[np.random.Generator], list[Sample]]]] = []
    if kept_kit:
        makers.append((len(kept_kit), _Photographed(make, KitPages(kept_kit))))
    paths = [path for pictures in kept_flat for path in pictures]
    if paths:
        makers.append((len(paths), FlatPages(paths).samples))
    if not makers:
        raise OptionError(
            f"No page below {folder} teaches {stage}",
            got=f"{len(kit)} pages of ecg-image-kit, {len(checked)} of them fit, and {len(records)} records of "
            f"PhysioNet 2025, {len(flat)} of them fit",
            expected="pictures with a JSON file of the same stem, or, for stage2 alone, ID/ID-0001.png and ID/ID.csv",
            mend="See train/README.md, Your own pages.",
        )  # fmt: skip
    total = sum(n for n, _ in makers)
    return OwnPages(tuple(m for _, m in makers), tuple(n / total for n, _ in makers))


class _Photographed:
    """Samples of pages that the drawn camera is pointed at."""

    def __init__(self, make: Make, source: PageSource) -> None:
        self.make, self.source = make, source

    def __call__(self, rng: np.random.Generator) -> list[Sample]:
        return self.make(rng, self.source)


def _part(pages: list[Any], held_out: bool) -> list[Any]:
    """The last tenth, at least one of two, or the rest."""
    aside = max(round(HELD_OUT * len(pages)), min(1, len(pages) - 1)) if pages else 0
    return pages[len(pages) - aside :] if held_out else pages[: len(pages) - aside]


def _check_kit(pages: Sequence[tuple[Path, Path]], cache: Path) -> list[str]:
    """Why each page is unfit, "" where it is fit."""
    known = _Verdicts(cache / "kit.json")
    reasons = []
    for picture, told in pages:
        key = _key(picture, told)
        if key not in known.table:
            try:
                read_kit_page(picture, told, _CHECK_PX_PER_MM)
                known.table[key] = ""
            except UnfitPageError as error:
                known.table[key] = str(error)
        reasons.append(known.table[key])
    known.write("pages of ecg-image-kit", reasons)
    return reasons


def _prepare(records: Sequence[Record], cache: Path, least_db: float) -> dict[str, list[Path]]:
    """Record id to its prepared pictures, without records that have none."""
    known = _Verdicts(cache / "physionet.json")
    weights = json.dumps(reading_weights(), sort_keys=True)
    told = [(r, p, _key(p, r.csv, f"{least_db} {weights}")) for r in records for p in r.pictures]
    new = [t for t in told if t[2] not in known.table or not (known.table[t[2]] or (cache / f"{t[2]}.npz").exists())]
    if new:
        log.info("%d pictures to prepare, about 2 s each", len(new))
        cache.mkdir(parents=True, exist_ok=True)
        with Digitizer() as digitizer:
            for record, picture, key in new:
                known.table[key] = _prepared(picture, record, digitizer, least_db, cache / f"{key}.npz")
    known.write("pictures of PhysioNet records", [known.table[key] for *_, key in told])
    ready: dict[str, list[Path]] = {}
    for record, _, key in told:
        if not known.table[key]:
            ready.setdefault(record.name, []).append(cache / f"{key}.npz")
    return ready


def _prepared(picture: Path, record: Record, digitizer: Digitizer, least_db: float, path: Path) -> str:
    try:
        save(flatten(picture, record, digitizer, least_db), path)
    except UnfitPageError as error:
        return str(error)
    return ""


def _key(*parts: Path | str) -> str:
    """A name for files as they are now, and whatever else matters."""
    told = [f"{p.resolve()} {p.stat().st_size} {p.stat().st_mtime_ns}" if isinstance(p, Path) else p for p in parts]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:24]


class _Verdicts:
    """What earlier calls found out about pages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.table: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def write(self, what: str, reasons: Sequence[str]) -> None:
        """Keeps the verdicts, and tells how many pages were left out, and why."""
        if not reasons:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.table, indent=1))
        os.replace(part, self.path)
        left_out = Counter(reason for reason in reasons if reason)
        why = "; ".join(f"{n} x {reason}" for reason, n in left_out.most_common())
        kept = len(reasons) - left_out.total()
        log.info("%d of %d %s kept%s", kept, len(reasons), what, f"; left out: {why}" if why else "")
