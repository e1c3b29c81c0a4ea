"""Build of a plan from ONNX: one path for TensorRT 8.6, 10.x, 11.x and TensorRT for RTX; features are probed.

| | 8.6 | 10.x | 11.x | RTX 1.4 and later |
|---|---|---|---|---|
| explicit batch | flag | always | always | always |
| types as in the graph | FP16 flag, FP32 layers constrained | flag | always | always |
| timing cache | yes | yes | yes | none: nothing is timed |
| progress | none | yes | yes | yes |
| cuBLAS, cuDNN tactics | switched off here | off | gone | gone |
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from onnx import TensorProto, load_from_string

from build_engines.precision import element_types
from ecg_trt.engines.manifest import ANY_CAPABILITY
from ecg_trt.engines.tensorrt_module import join_messages, logger_of
from ecg_trt.errors import BackendUnavailableError, BuildError, install_hint
from ecg_trt.io.atomic import atomic_path, make_folder

_log = logging.getLogger(__name__)
Progress = Callable[[float], None]
_OWN_TACTICS = ("EDGE_MASK_CONVOLUTIONS", "JIT_CONVOLUTIONS")  # Neither needs a library at run time.
_UNCONSTRAINED = frozenset({"CAST", "CONSTANT", "SHAPE"})  # Their types are given: they take no precision.


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Options of the build of one plan.

    Attributes:
        capability: compute capability to build for: of RTX plans one that its version lists; of all plans
            `ANY_CAPABILITY`, every GPU from 8.0 on; None for the GPU at hand.
        workspace_mib: most scratch memory a tactic may use, MiB; None for the GPU's whole memory.
        timing_cache: a file that remembers measured tactics; made if missing, locked while in use.
        is_fp16: whether the graph holds FP16.
        optimization_level: how hard TensorRT searches, 0..5; None for its default.
        is_version_compatible: whether the lean runtime of this version can load the plan, too; trt only.
        has_layer_details: whether the plan describes its layers, for `ecg-trt engines inspect`; else it names them.
    """

    capability: str | None = None
    workspace_mib: int | None = None
    timing_cache: Path | None = None
    is_fp16: bool = True
    optimization_level: int | None = None
    is_version_compatible: bool = False
    has_layer_details: bool = False


def build_plan(onnx: bytes, trt: ModuleType, options: BuildOptions, progress: Progress | None = None) -> bytes:
    """Build one plan.

    Args:
        onnx: a network of static shapes and written-down types.
        trt: `tensorrt` or `tensorrt_rtx`; for the former, a driver and a GPU are there.
        options: how.
        progress: called with the share of the work that is done, 0..1, where the version reports it.

    Returns:
        The plan.

    Raises:
        BuildError: the parser or the builder rejects the network: the message holds their own words. Or this version
            lacks an option.
        KeyboardInterrupt: the user's, at the end of a step of the builder.
        OutputError: the timing cache could not be written.
    """
    logger = logger_of(trt)
    logger.words.clear()
    try:
        builder = trt.Builder(logger)
    except (TypeError, RuntimeError) as error:  # A null object of TensorRT raises these.
        what = f"no builder ({error})"
        raise _rejected(what, logger.words, "a driver that this version knows") from error
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    # The parser of TensorRT for RTX reads bytes that are no ONNX as an empty network.
    if not parser.parse(onnx) or not network.num_outputs:
        words = [*_parser_words(parser), *logger.words] or ["there is no network in it"]
        raise _rejected("an ONNX that it cannot parse", words, "operators and types that it knows")
    config = builder.create_builder_config()
    _configure(config, trt, options)
    if _is_weakly_typed_fp16(trt, options):
        config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
        _constrain_fp32(network, trt, onnx)
    with _interrupt_later() as pressed, _timing_cache(config, trt, options.timing_cache):
        if hasattr(trt, "IProgressMonitor"):
            config.progress_monitor = _make_monitor(trt, progress or (lambda share: None), pressed)
        plan = builder.build_serialized_network(network, config)
        if pressed.is_set():
            raise KeyboardInterrupt
        if plan is None:
            raise _rejected("a network that it cannot build", logger.words, "a plan")
    return bytes(plan)


def _network_flags(trt: ModuleType) -> int:
    wanted = ["STRONGLY_TYPED"] + ["EXPLICIT_BATCH"] * (_major(trt) < 10)
    if _is_rtx(trt):
        wanted = []
    kinds = getattr(trt, "NetworkDefinitionCreationFlag", None)
    return sum(1 << int(getattr(kinds, name)) for name in wanted if hasattr(kinds, name))


def _configure(config: Any, trt: ModuleType, options: BuildOptions) -> None:
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib << 20)
    flag = trt.BuilderFlag
    if hasattr(flag, "TF32"):  # TF32 is on by default, but FP32 must mean FP32.
        config.clear_flag(flag.TF32)
    if _major(trt) < 10 and not _is_rtx(trt):
        if _is_weakly_typed_fp16(trt, options):
            config.set_flag(flag.FP16)
        config.set_tactic_sources(sum(1 << int(getattr(trt.TacticSource, name)) for name in _OWN_TACTICS))
    if hasattr(flag, "REQUIRE_USER_ALLOCATION"):  # A network that allocates nothing while it runs can be captured.
        config.set_flag(flag.REQUIRE_USER_ALLOCATION)
    if options.optimization_level is not None:
        _check_has(config, "builder_optimization_level", trt)
        config.builder_optimization_level = options.optimization_level
    if options.is_version_compatible:
        for name in ("VERSION_COMPATIBLE", "EXCLUDE_LEAN_RUNTIME"):  # The runtime is 100 MB, and comes from PyPI.
            _check_has(flag, name, trt)
            config.set_flag(getattr(flag, name))
    if options.has_layer_details:
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if options.capability == ANY_CAPABILITY and not _is_rtx(trt):
        _check_has(trt, "HardwareCompatibilityLevel", trt)
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    elif options.capability not in (None, ANY_CAPABILITY):
        config.num_compute_capabilities = 1
        name = f"SM{str(options.capability).replace('.', '')}"
        config.set_compute_capability(getattr(trt.ComputeCapability, name), 0)


def _check_has(owner: Any, name: str, trt: ModuleType) -> None:
    """Raise `BuildError` unless this version of TensorRT has a member that an option needs."""
    if not hasattr(owner, name):
        raise BuildError(
            "This version of TensorRT lacks an option",
            got=f"{trt.__name__} {trt.__version__}",
            expected=f"a version with {name}",
            hint="Leave the option out, or install a later version.",
        )


def _is_weakly_typed_fp16(trt: ModuleType, options: BuildOptions) -> bool:
    """Tell a build in FP16 by a TensorRT that lacks strong typing, and so chooses the precision of each layer."""
    if not options.is_fp16 or _is_rtx(trt) or _major(trt) >= 10:
        return False
    return not hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def _constrain_fp32(network: Any, trt: ModuleType, onnx: bytes) -> None:
    """Set the precision of every layer that the graph keeps in FP32, as the FP16 flag would allow FP16 for it too.

    Layers that the graph has in FP16 stay free: TensorRT may compute them in FP32 where that is faster. The parser
    names a tensor as the graph does, and makes up names within a node that it splits: such a layer follows its inputs.

    Args:
        network: as parsed.
        trt: the module.
        onnx: the network's bytes.
    """
    type_of = element_types(load_from_string(onnx))
    fp32 = {name for name, kind in type_of.items() if kind == TensorProto.FLOAT}
    for k in range(network.num_layers):
        layer = network.get_layer(k)
        inputs = [layer.get_input(n) for n in range(layer.num_inputs)]
        outputs = [layer.get_output(n) for n in range(layer.num_outputs)]
        is_of_graph = any(tensor.name in type_of for tensor in outputs)
        deciding = outputs if is_of_graph else [tensor for tensor in inputs if tensor is not None]
        if layer.type.name in _UNCONSTRAINED or not any(tensor.name in fp32 for tensor in deciding):
            continue
        layer.precision = trt.float32
        for n, tensor in enumerate(outputs):
            if tensor.dtype in (trt.float32, trt.float16):  # The others are indices and truth values.
                layer.set_output_type(n, trt.float32)
                fp32.add(tensor.name)


@contextmanager
def _timing_cache(config: Any, trt: ModuleType, path: Path | None) -> Iterator[None]:
    """Lend the cache on disk to the builder, locked as long as the build lasts, and save the new measurements.

    They are saved after a failed or interrupted build, too: the next one need not take them again.
    """
    if path is None or _is_rtx(trt):
        yield
        return
    make_folder(path.parent)
    with _locked(path):
        known = path.read_bytes() if path.is_file() else b""
        cache = config.create_timing_cache(known)
        if not cache or not config.set_timing_cache(cache, False):
            _log.warning("%s is no timing cache of this TensorRT and GPU: it starts anew", path)
            config.set_timing_cache(config.create_timing_cache(b""), False)
        try:
            yield
        except BaseException:
            try:
                _save_timing_cache(config, path)
            except Exception as error:  # What ended the build is what counts.
                _log.warning("%s is not saved: %s", path, error)
            raise
        _save_timing_cache(config, path)


def _save_timing_cache(config: Any, path: Path) -> None:
    with atomic_path(path) as part:
        part.write_bytes(bytes(config.get_timing_cache().serialize()))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        from filelock import FileLock
    except ImportError as error:
        raise BackendUnavailableError(
            "The timing cache cannot be locked",
            got="filelock is not installed",
            expected="what building needs",
            hint=install_hint("build"),
        ) from error
    with FileLock(f"{path}.lock"):
        yield


@contextmanager
def _interrupt_later() -> Iterator[threading.Event]:
    """Turn Control-C into an event: an exception must not travel through the builder."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    before = signal.signal(signal.SIGINT, lambda *_: pressed.set())
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)


def _make_monitor(trt: ModuleType, progress: Progress, pressed: threading.Event) -> Any:
    """Make the monitor to which the builder reports its steps, and which it asks for permission to continue."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        """Progress over nested phases: a step counts by the share of it that its own phases have done."""

        def __init__(self) -> None:
            super().__init__()
            self.stack: list[tuple[str, int, int]] = []  # (name, steps done, all steps) of each open phase.
            self.best = 0.0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.stack.append((phase_name, 0, max(num_steps, 1)))

        def step_complete(self, phase_name: str, step: int) -> bool:
            self.stack = [(n, step + 1, of) if n == phase_name else (n, k, of) for n, k, of in self.stack]
            share, weight = 0.0, 1.0
            for _, done, of in self.stack:
                share, weight = share + weight * min(done, of) / of, weight / of
            self.best = max(self.best, min(share, 1.0))
            progress(self.best)
            return not pressed.is_set()

        def phase_finish(self, phase_name: str) -> None:
            self.stack = [entry for entry in self.stack if entry[0] != phase_name]

    return Monitor()


def _parser_words(parser: Any) -> list[str]:
    return [parser.get_error(k).desc() for k in range(parser.num_errors)]


def _is_rtx(trt: ModuleType) -> bool:
    return trt.__name__ == "tensorrt_rtx"


def _major(trt: ModuleType) -> int:
    return int(trt.__version__.split(".")[0])


def _rejected(what: str, words: Iterable[str], expected: str) -> BuildError:
    return BuildError(
        "TensorRT cannot build the plan",
        got=f"{what}: {join_messages(words)}",
        expected=expected,
        hint="Check the network with ONNX Runtime first, then the driver and the version of TensorRT.",
    )
