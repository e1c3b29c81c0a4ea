"""User dataset: pages found below a folder, checked once, and handed out as samples."""

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
from train.data.kit import InvalidPageError, KitPages, find_kit_pages, read_kit_page
from train.data.physionet import FlatPages, Record, find_records, flatten, save
from train.data.samples import Sample
from train.data.signals import HELD_OUT, PageSource

log = logging.getLogger("train.data")
KIT, PHYSIONET = "ecg-image-kit", "PhysioNet 2025"  # layouts of a user dataset
_CHECK_PX_PER_MM = 6.0
Make = Callable[..., list[Sample]]


@dataclass(frozen=True, slots=True)
class UserDataset:
    """Pages of a user dataset that serve one stage.

    Attributes:
        makers: functions of a generator that draw the samples of one page.
        shares: of each maker, in proportion to its pages.
    """

    makers: tuple[Callable[[np.random.Generator], list[Sample]], ...]
    shares: tuple[float, ...]

    def __call__(self, rng: np.random.Generator) -> list[Sample]:
        """Draw the samples of one page."""
        return self.makers[int(rng.choice(len(self.makers), p=self.shares))](rng)


def open_user_dataset(
    folder: Path, make: Make, cache: Path, *, layouts: Sequence[str], least_db: float, held_out: bool
) -> UserDataset:
    """Find the pages below a folder; what was checked before is not checked again.

    Args:
        folder: pages in the layout of ecg-image-kit, of PhysioNet 2025, or both.
        make: samples of a page source, `samples.trace_samples` and the like.
        cache: folder of prepared pages and verdicts.
        layouts: `KIT`, `PHYSIONET` or both, those whose truth serves the stage.
        least_db: see `physionet.flatten`.
        held_out: take the last tenth of the pages, for validation, instead of the others.

    Raises:
        OptionError: no page below the folder serves this stage.
    """
    kit = find_kit_pages(folder) if KIT in layouts else []
    records = find_records(folder) if PHYSIONET in layouts else []
    valid = [pages for pages, fault in zip(kit, _check_kit(kit, cache), strict=True) if not fault]
    flat = _prepare(records, cache, least_db) if records else {}
    kept_kit, kept_flat = (_part(list(pages), held_out) for pages in (valid, flat.values()))
    makers: list[tuple[int, Callable[[np.random.Generator], list[Sample]]]] = []
    if kept_kit:
        makers.append((len(kept_kit), _Photographed(make, KitPages(kept_kit))))
    paths = [path for pictures in kept_flat for path in pictures]
    if paths:
        makers.append((len(paths), FlatPages(paths).samples))
    if not makers:
        raise OptionError(
            f"No page below {folder} serves this stage",
            got=f"{len(kit)} pages of ecg-image-kit, {len(valid)} of them valid, and {len(records)} records of "
            f"PhysioNet 2025, {len(flat)} of them valid",
            expected="pictures with a JSON file of the same stem, or, for stage2 alone, ID/ID-0001.png and ID/ID.csv",
            hint="See train/README.md, User dataset.",
        )  # fmt: skip
    total = sum(n for n, _ in makers)
    return UserDataset(tuple(m for _, m in makers), tuple(n / total for n, _ in makers))


class _Photographed:
    """Samples of pages that the simulated camera photographs."""

    def __init__(self, make: Make, source: PageSource) -> None:
        self.make, self.source = make, source

    def __call__(self, rng: np.random.Generator) -> list[Sample]:
        return self.make(rng, self.source)


def _part(pages: list[Any], held_out: bool) -> list[Any]:
    """Take the last tenth, at least one of two pages, or the rest."""
    aside = max(round(HELD_OUT * len(pages)), min(1, len(pages) - 1)) if pages else 0
    return pages[len(pages) - aside :] if held_out else pages[: len(pages) - aside]


def _check_kit(pages: Sequence[tuple[Path, Path]], cache: Path) -> list[str]:
    """Check each page; give the fault that makes it invalid, or ""."""
    known = _Verdicts(cache / "kit.json")
    reasons = []
    for picture, annotation in pages:
        key = _key(picture, annotation)
        if key not in known.table:
            try:
                read_kit_page(picture, annotation, _CHECK_PX_PER_MM)
                known.table[key] = ""
            except InvalidPageError as error:
                known.table[key] = str(error)
        reasons.append(known.table[key])
    known.write("pages of ecg-image-kit", reasons)
    return reasons


def _prepare(records: Sequence[Record], cache: Path, least_db: float) -> dict[str, list[Path]]:
    """Prepare pictures of records; give record id to prepared pictures, without records that have none."""
    known = _Verdicts(cache / "physionet.json")
    weights = json.dumps(reading_weights(), sort_keys=True)
    keyed = [(r, p, _key(p, r.csv, f"{least_db} {weights}")) for r in records for p in r.pictures]

    def is_known(key: str) -> bool:
        return key in known.table and (bool(known.table[key]) or (cache / f"{key}.npz").exists())

    new = [entry for entry in keyed if not is_known(entry[2])]
    if new:
        log.info("%d pictures to prepare, about 2 s each", len(new))
        cache.mkdir(parents=True, exist_ok=True)
        with Digitizer() as digitizer:
            for record, picture, key in new:
                known.table[key] = _prepared(picture, record, digitizer, least_db, cache / f"{key}.npz")
    known.write("pictures of PhysioNet records", [known.table[key] for *_, key in keyed])
    ready: dict[str, list[Path]] = {}
    for record, _, key in keyed:
        if not known.table[key]:
            ready.setdefault(record.name, []).append(cache / f"{key}.npz")
    return ready


def _prepared(picture: Path, record: Record, digitizer: Digitizer, least_db: float, path: Path) -> str:
    try:
        save(flatten(picture, record, digitizer, least_db), path)
    except InvalidPageError as error:
        return str(error)
    return ""


def _key(*parts: Path | str) -> str:
    """Hash files, by path, size and time of change, and any further text."""
    lines = [f"{p.resolve()} {p.stat().st_size} {p.stat().st_mtime_ns}" if isinstance(p, Path) else p for p in parts]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:24]


class _Verdicts:
    """Faults of pages that earlier calls found, kept in a JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.table: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def write(self, what: str, reasons: Sequence[str]) -> None:
        """Write the verdicts, and log how many pages were left out, and why."""
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
