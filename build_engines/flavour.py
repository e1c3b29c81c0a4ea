"""Choice of the TensorRT flavour and of the compute capabilities to build for."""

from __future__ import annotations

from types import ModuleType

from ecg_trt.cuda.device import DeviceInfo, probe
from ecg_trt.engines.manifest import ANY_CAPABILITY, Flavour
from ecg_trt.engines.store import serves_any_plan
from ecg_trt.engines.tensorrt_module import (
    how_to_install,
    import_tensorrt,
    listed_capabilities,
    tensorrt_unavailable,
)
from ecg_trt.errors import BackendUnavailableError, BuildError, OptionError

PORTABLE = ("8.6", "8.9", "12.0")  # RTX plans are built for these where no GPU is at hand.


def gpu_capability() -> str | None:
    """Find the compute capability of the first GPU, for example "8.6"; None without a driver or a GPU.

    The driver is asked itself: some TensorRT libraries hand out null objects without one, and crash when they are used.
    """
    found = probe()
    return found.compute_capability if isinstance(found, DeviceInfo) else None


def open_flavour(name: str) -> tuple[Flavour, ModuleType]:
    """Import a flavour of TensorRT.

    Args:
        name: "trt", "rtx", or "auto": `trt` where a GPU and TensorRT are at hand, else `rtx`.

    Raises:
        BackendUnavailableError: it is not installed or cannot be loaded, or `trt` without a GPU.
    """
    if name != "auto":
        flavour = Flavour(name)
        return flavour, import_tensorrt(flavour, builds=True)
    rejected = []
    for flavour in (Flavour.TRT, Flavour.RTX):
        try:
            return flavour, import_tensorrt(flavour, builds=True)
        except BackendUnavailableError as error:
            rejected.append(error.got)
    raise tensorrt_unavailable("; ".join(rejected), how_to_install(Flavour.RTX))


def capabilities(
    flavour: Flavour, named: str | None, trt: ModuleType, *, is_ampere_plus: bool = False
) -> tuple[str, ...]:
    """Choose the compute capabilities to build for.

    Args:
        flavour: of TensorRT.
        named: by the user, "8.6,8.9", "any", or None: that of the GPU, "any" if this version of TensorRT for RTX does
            not list it, and `PORTABLE` without a GPU.
        trt: the flavour's module.
        is_ampere_plus: whether a trt plan shall serve every GPU from 8.0 on; it is built on one of them.

    Raises:
        BuildError: one that cannot be built for.
        OptionError: `is_ampere_plus` for another flavour.
    """
    here = gpu_capability()
    if is_ampere_plus:
        return _ampere_plus(flavour, named, here)
    if flavour is Flavour.TRT:
        if here is None or (named is not None and named != here):
            raise _cannot(named or "no GPU", f"{here or 'a GPU'}: a trt plan is built on the GPU that runs it",
                          "Leave --compute-capability out, use --hardware-compat ampere+, or build with --flavour rtx."
                          )  # fmt: skip
        return (here,)
    listed = listed_capabilities(trt)
    if named is None:
        return _for_gpu(here, listed)
    known = {*listed, ANY_CAPABILITY}
    wanted = tuple(dict.fromkeys(part.strip() for part in named.split(",") if part.strip()))
    if not wanted or not known.issuperset(wanted):
        raise _cannot(named, f"some of {', '.join(sorted(known))}", "Name what this version of TensorRT for RTX knows.")
    return wanted


def check_version_compatible(flavour: Flavour) -> None:
    """Raise `OptionError` unless the plans of a flavour can be version-compatible."""
    _require_trt(
        flavour, "--version-compatible",
        "A plan of TensorRT for RTX runs on the very release that built it: leave the option out.",
    )  # fmt: skip


def _require_trt(flavour: Flavour, option: str, hint: str) -> None:
    if flavour is not Flavour.TRT:
        raise OptionError(f"This flavour of TensorRT builds without {option}", got=f"{option} with flavour {flavour}",
                          expected="flavour trt", hint=hint)  # fmt: skip


def _ampere_plus(flavour: Flavour, named: str | None, here: str | None) -> tuple[str, ...]:
    """Check that a trt plan for every GPU from 8.0 on can be built here."""
    _require_trt(
        flavour, "--hardware-compat", "For one plan that serves every GPU from 8.0 on, use --compute-capability any."
    )
    if here is None or not serves_any_plan(here) or named not in (None, here, ANY_CAPABILITY):
        raise _cannot(named or here or "no GPU", "a GPU of 8.0 or later, on which the plan is built",
                      "Leave --hardware-compat out, or build with --flavour rtx.")  # fmt: skip
    return (ANY_CAPABILITY,)


def _for_gpu(here: str | None, listed: tuple[str, ...]) -> tuple[str, ...]:
    """Choose the capability of RTX plans that serve the GPU at hand."""
    if here is None:
        return PORTABLE
    if here in listed:
        return (here,)
    if serves_any_plan(here):
        return (ANY_CAPABILITY,)
    raise _cannot(here, f"one of {', '.join(listed)}, or 8.0 and later", "On this GPU use --backend trt or ort.")


def target_note(flavour: Flavour, targets: tuple[str, ...], trt: ModuleType) -> str:
    """Explain to the user how the plans to build relate to the GPU at hand.

    Args:
        flavour: of TensorRT.
        targets: the compute capabilities to build for.
        trt: the flavour's module.

    Returns:
        A sentence for stderr; empty if there is nothing to explain.
    """
    here = gpu_capability()
    if here is None or flavour is Flavour.TRT or here in targets:
        return ""
    is_listed, takes_any = here in listed_capabilities(trt), serves_any_plan(here)
    if ANY_CAPABILITY in targets and takes_any:
        if is_listed:
            return ""
        return (f"TensorRT for RTX {trt.__version__} does not list this GPU's compute capability {here}: it gets the "
                f"plan for any GPU from 8.0 on.")  # fmt: skip
    hint = "On this GPU use --backend trt or ort."
    if is_listed or takes_any:
        hint = f"For this GPU build with --compute-capability {here if is_listed else ANY_CAPABILITY}."
    return f"These plans do not serve the GPU at hand, of compute capability {here}. {hint}"


def _cannot(got: str, expected: str, hint: str) -> BuildError:
    return BuildError("No plan can be built for this compute capability", got=got, expected=expected, hint=hint)
