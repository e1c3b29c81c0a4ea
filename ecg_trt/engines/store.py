"""Store of plans, and the checks of a plan before it is used."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ecg_trt.engines.manifest import ANY_CAPABILITY, Flavour, Manifest, PlanKey
from ecg_trt.errors import PlanCorruptError, PlanError, PlanMismatchError, PlanMissingError
from ecg_trt.io.atomic import atomic_folder, make_folder
from ecg_trt.paths import cache_dir

_FIELD_NAMES = {
    "stage": "network",
    "flavour": "flavour",
    "version": "TensorRT version",
    "capability": "compute capability",
    "onnx_sha256": "ONNX",
    "precision": "precision",
}


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan file.

    Attributes:
        path: of the plan.
        manifest: None if it is missing or cannot be read.
        fault: why the plan cannot be trusted, None if it can; only `PlanStore.verify` reads whole plans to find out.
    """

    path: Path
    manifest: Manifest | None
    fault: PlanError | None = None


class PlanStore:
    """Plans in one folder, each with its manifest beside it.

    Args:
        root: the folder, `plans` in `cache_dir()` if None; made when something is saved.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = cache_dir() / "plans" if root is None else root

    def path(self, key: PlanKey) -> Path:
        """Return the path of the plan for `key`, existing or not."""
        return self.root / key.name

    def save(self, manifest: Manifest, plan: bytes) -> Path:
        """Write a plan and its manifest, which appears last: it stands for a whole plan.

        Raises:
            OutputError: they could not be written.
        """
        make_folder(self.root)
        path = self.path(manifest.key)
        manifest_path = _manifest_path(path)
        with atomic_folder(self.root, [path.name, manifest_path.name]) as scratch:
            (scratch / path.name).write_bytes(plan)
            (scratch / manifest_path.name).write_text(manifest.to_json(), encoding="utf-8")
        return path

    def load(self, key: PlanKey) -> tuple[bytes, Manifest]:
        """Read a plan and check it in every respect.

        A plan for `ANY_CAPABILITY` serves where none was built for the very GPU.

        Raises:
            PlanMissingError: no plan of this network.
            PlanCorruptError: the file is no plan, is truncated or altered, or its manifest cannot be read.
            PlanMismatchError: there are plans of this network, but for something else.
        """
        path = self.find(key)
        if path is None:
            raise self._missing(key)
        return checked_plan(path, key)

    def find(self, key: PlanKey) -> Path | None:
        """Find the file that `load` would read, by its name alone."""
        keys = [key]
        if serves_any_plan(key.capability):
            keys.append(replace(key, capability=ANY_CAPABILITY))
        return next((path for path in map(self.path, keys) if path.is_file()), None)

    def has(self, flavour: Flavour) -> bool:
        """Tell if there is any plan of a flavour; nothing is read."""
        return next(self.root.glob(f"*_{flavour}-*.plan"), None) is not None

    def plans(self) -> list[StoredPlan]:
        """List all plans by name; the plans themselves are not read."""
        found = []
        for path in sorted(self.root.glob("*.plan")):
            try:
                found.append(StoredPlan(path, read_manifest(path)))
            except PlanError as error:
                found.append(StoredPlan(path, None, error))
        return found

    def verify(self) -> Iterator[StoredPlan]:
        """Read every plan and yield it with its fault, if it has any."""
        for plan in self.plans():
            fault = plan.fault
            if plan.manifest is not None:
                try:
                    checked_plan(plan.path, plan.manifest.key)
                    if plan.path.name != plan.manifest.key.name:
                        fault = _mismatch(plan.path, "name", plan.path.name, plan.manifest.key.name, plan.manifest.key)
                except PlanError as error:
                    fault = error
            yield StoredPlan(plan.path, plan.manifest, fault)

    def prune(
        self, onnx_sha256: Collection[str], versions: Mapping[Flavour, Collection[str]], *, dry_run: bool = False
    ) -> list[tuple[Path, str]]:
        """Remove plans that can be of no use any more.

        Args:
            onnx_sha256: of the networks in use.
            versions: of the flavours that are installed, lean runtimes included; plans of the others are left alone.
            dry_run: only list what would be removed.

        Returns:
            Path and reason of each.
        """
        doomed = []
        for plan in self.verify():
            if plan.fault is not None or plan.manifest is None:
                doomed.append((plan.path, type(plan.fault).__name__))
                continue
            key = plan.manifest.key
            if key.onnx_sha256 not in onnx_sha256:
                doomed.append((plan.path, "its network is no longer in use"))
            elif _release(key.version) not in map(_release, versions.get(key.flavour) or [key.version]):
                doomed.append((plan.path, f"{key.flavour} {' and '.join(versions[key.flavour])} is installed"))
        orphans = [p for p in sorted(self.root.glob("*.plan.json")) if not p.with_suffix("").is_file()]
        doomed += [(path, "a manifest without its plan") for path in orphans]
        for path, _ in [] if dry_run else doomed:
            path.unlink(missing_ok=True)
            _manifest_path(path).unlink(missing_ok=True)
        return doomed

    def _missing(self, key: PlanKey) -> PlanError:
        """Make the error of a missing plan, which names the plan that comes nearest."""
        others = [plan.manifest.key for plan in self.plans() if plan.manifest and plan.manifest.key.stage == key.stage]
        if not others:
            return PlanMissingError(
                f"There is no plan for {key.stage}",
                got=f"none in {self.root}",
                expected=self.path(key).name,
                hint=f"Run: {key.build_line}",
            )
        nearest = min(others, key=lambda other: len(_differences(other, key)))
        field = _differences(nearest, key)[0]
        return _mismatch(self.path(nearest), field, getattr(nearest, field), getattr(key, field), key)


def checked_plan(path: Path, key: PlanKey) -> tuple[bytes, Manifest]:
    """Read a plan, and check it against its manifest and against `key`.

    Raises:
        PlanMissingError: no such file.
        PlanCorruptError: no plan, truncated, altered, or without a manifest that can be read.
        PlanMismatchError: another flavour, version, capability, ONNX, precision or network.
    """
    try:
        plan = path.read_bytes()
    except OSError as error:
        raise PlanMissingError(
            f"There is no plan for {key.stage}",
            got=f"{path} ({error.strerror})",
            expected="a plan and its manifest",
            hint=f"Run: {key.build_line}",
        ) from error
    if not any(plan.startswith(flavour.magic) for flavour in Flavour):
        raise _corrupt(path, f"a file that begins with {plan[:4]!r}", "a plan of TensorRT or TensorRT for RTX", key)
    manifest = read_manifest(path, key)
    if len(plan) != manifest.plan_bytes:
        raise _corrupt(path, f"{len(plan)} bytes", f"{manifest.plan_bytes} bytes", key)
    digest = hashlib.sha256(plan).hexdigest()
    if digest != manifest.plan_sha256:
        raise _corrupt(path, f"sha256 {digest[:12]}", f"sha256 {manifest.plan_sha256[:12]}", key)
    if not plan.startswith(key.flavour.magic):
        other = next(flavour for flavour in Flavour if plan.startswith(flavour.magic))
        raise _mismatch(path, "flavour", other, key.flavour, key)
    for field in _differences(manifest.key, key):
        raise _mismatch(path, field, getattr(manifest.key, field), getattr(key, field), key)
    return plan, manifest


def _differences(built: PlanKey, wanted: PlanKey) -> list[str]:
    """List the fields of a key that keep a plan from being used, in the order in which they are reported."""
    found = [name for name in _FIELD_NAMES if getattr(built, name) != getattr(wanted, name)]
    return [name for name in found if name != "capability" or not serves(built, wanted.capability)]


def _release(version: str) -> str:
    """Strip a version of the suffix that a distribution adds when a release is packed again."""
    return version.split(".post")[0]


def serves(key: PlanKey, capability: str) -> bool:
    """Decide if a plan serves a GPU of this compute capability: built for it, or for any from 8.0 on."""
    return key.capability == capability or (key.capability == ANY_CAPABILITY and serves_any_plan(capability))


def serves_any_plan(capability: str) -> bool:
    """Decide if a GPU of this compute capability, for example "8.6", can run plans for `ANY_CAPABILITY`."""
    major = capability.split(".")[0]
    return major.isdecimal() and int(major) >= 8


def _manifest_path(plan: Path) -> Path:
    return plan.with_name(f"{plan.name}.json")


def read_manifest(plan: Path, key: PlanKey | None = None) -> Manifest:
    """Read the manifest of a plan; the plan itself is not read.

    Raises:
        PlanCorruptError: it is missing or cannot be read; the hint builds the plan for `key`, if that is given.
    """
    path = _manifest_path(plan)
    try:
        return Manifest.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise _corrupt(plan, f"{path.name} ({why})", "the manifest that was written with it", key) from error


def _corrupt(path: Path, got: str, expected: str, key: PlanKey | None) -> PlanCorruptError:
    again = f"Build it again: {key.build_line}" if key else "Run: ecg-trt engines prune, then ecg-trt build"
    return PlanCorruptError(f"The plan {path} cannot be trusted", got=got, expected=expected, hint=again)


def _mismatch(path: Path, field: str, got: object, expected: object, key: PlanKey) -> PlanMismatchError:
    short = [str(value)[:12] if field == "onnx_sha256" else str(value) for value in (got, expected)]
    what = _FIELD_NAMES.get(field, field)
    return PlanMismatchError(
        f"The plan {path} was built for another {what}",
        got=f"{what} {short[0]}",
        expected=f"{what} {short[1]}",
        hint=f"Run: {key.build_line}",
    )
