"""Which TensorRT is at hand, and for which GPU it can build."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ecg_trt.cuda.device import DeviceInfo, probe
from ecg_trt.engines.manifest import ANY_CAPABILITY, Flavour
from ecg_trt.errors import BackendUnavailableError, BuildError

PORTABLE = ("8.6", "8.9", "12.0")  # what RTX plans are made for where no GPU is at hand


def gpu_capability() -> str | None:
    """Compute capability of the first GPU, for example "8.6"; None without a driver or a GPU.

    The driver is asked itself: some TensorRT libraries hand out null objects without one, and crash when they are used.
    """
    found = probe()
    return "{}.{}".format(*found.capability) if isinstance(found, DeviceInfo) else None


def open_flavour(name: str) -> tuple[Flavour, ModuleType]:
    """Imports a flavour of TensorRT.

    Args:
        name: "trt", "rtx", or "auto": `trt` where a GPU and TensorRT are at hand, else `rtx`.

    Raises:
        BackendUnavailableError: it is not installed or cannot be loaded, or `trt` without a GPU.
    """
    if name != "auto":
        flavour = Flavour(name)
        return flavour, _import(flavour)
    refused = []
    for flavour in (Flavour.TRT, Flavour.RTX):
        try:
            return flavour, _import(flavour)
        except BackendUnavailableError as error:
            refused.append(error.got)
    raise _unavailable("; ".join(refused), _pip(Flavour.RTX))


def capabilities(flavour: Flavour, named: str | None, trt: ModuleType) -> tuple[str, ...]:
    """The compute capabilities to build for.

    Args:
        flavour: of TensorRT.
        named: by the user, "8.6,8.9", "any", or None: that of the GPU, and without one the usual ones.
        trt: the flavour's module.

    Raises:
        BuildError: one that cannot be built for.
    """
    here = gpu_capability()
    if flavour is Flavour.TRT:
        if here is None or (named is not None and named != here):
            raise _cannot(named or "no GPU", f"{here or 'a GPU'}: a trt plan is built on the GPU that runs it",
                          "Leave --compute-capability out, or build with --flavour rtx.")  # fmt: skip
        return (here,)
    known = {f"{n[2:-1]}.{n[-1]}" for n in vars(trt.ComputeCapability) if n.startswith("SM")} | {ANY_CAPABILITY}
    if named is None:
        return (here,) if here in known else PORTABLE
    wanted = tuple(dict.fromkeys(part.strip() for part in named.split(",") if part.strip()))
    if not wanted or not known.issuperset(wanted):
        raise _cannot(named, f"some of {', '.join(sorted(known))}", "Name what this version of TensorRT for RTX knows.")
    return wanted


def _import(flavour: Flavour) -> ModuleType:
    if flavour is Flavour.TRT and gpu_capability() is None:
        raise _unavailable("trt: no NVIDIA driver with a GPU", "Install NVIDIA's driver, or build with --flavour rtx.")
    try:
        module = import_module(flavour.module)
        module.Builder  # noqa: B018 - a stub from PyPI imports, but holds nothing
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise _unavailable(f"{flavour}: {flavour.module} cannot be imported ({why})", _pip(flavour)) from error
    return module


def _pip(flavour: Flavour) -> str:
    return f'Run: pip install "ecg-trt[{flavour},build]"'


def _unavailable(got: str, mend: str) -> BackendUnavailableError:
    return BackendUnavailableError(
        "TensorRT cannot be used",
        got=got,
        expected="TensorRT and the GPU that will run the plan (trt), or TensorRT for RTX, which needs none (rtx)",
        mend=mend,
    )


def _cannot(got: str, expected: str, mend: str) -> BuildError:
    return BuildError("No plan can be built for this compute capability", got=got, expected=expected, mend=mend)
