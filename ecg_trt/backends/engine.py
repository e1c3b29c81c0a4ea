"""One deserialized TensorRT engine, checked against its manifest and shared by the worker slots."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from ecg_trt.closeable import Closeable
from ecg_trt.cuda.driver import Driver
from ecg_trt.engines.manifest import ANY_CAPABILITY, Flavour, Manifest
from ecg_trt.engines.tensorrt_module import is_lean, join_messages, lean_library, logger_of
from ecg_trt.errors import DeviceMemoryError, DriverError, EcgTrtError, OutputError, PlanCorruptError, PlanMismatchError
from ecg_trt.io.atomic import atomic_path, make_folder
from ecg_trt.paths import cache_dir
from ecg_trt.types import TensorSpec

_log = logging.getLogger(__name__)
_DTYPES = {"FLOAT": "float32", "HALF": "float16", "INT32": "int32", "INT64": "int64", "INT8": "int8", "UINT8": "uint8",
           "BOOL": "bool"}  # fmt: skip
_ACTIVATION_BYTES = "device_memory_size_v2"  # attribute of an engine, from TensorRT 10.1 on


class Engine(Closeable):
    """TensorRT engine with the objects that it depends on, freed in order.

    A driver must have been opened: without one, TensorRT hands out null objects, and some versions crash on their use.

    Args:
        trt: the flavour's module.
        plan: bytes, checked by the store.
        manifest: the plan's.
        driver: of the GPU; the call makes its context current in this thread, which TensorRT needs.

    Raises:
        DriverError: TensorRT cannot use this driver.
        PlanMismatchError: this TensorRT or this GPU does not take the plan.
        PlanCorruptError: its inputs or outputs are not those of its manifest.
    """

    def __init__(self, trt: ModuleType, plan: bytes, manifest: Manifest, driver: Driver) -> None:
        self.stage, self.flavour = manifest.key.stage, manifest.key.flavour
        self.inputs, self.outputs = manifest.inputs, manifest.outputs
        self._manifest, self._trt = manifest, trt
        self._logger = logger_of(trt)
        self._lender: Any = None
        self._runtime: Any = None
        self._engine: Any = None
        self._how: list[Any] = []  # what `create_execution_context` takes: a strategy, or a configuration that has one
        self._cache: Any = None
        self._kept = b""
        try:
            self._load(trt, plan)
            if hasattr(self._engine, _ACTIVATION_BYTES):
                # A context that allocates while it runs cannot be captured, and those of a slot can share memory.
                self._how = [trt.ExecutionContextAllocationStrategy.USER_MANAGED]
            if self.flavour is Flavour.RTX:  # TensorRT's runtime configurations hold no cache.
                self._open_cache(trt, driver)
        except BaseException:
            self.close()
            raise

    def messages(self) -> str:
        """Join TensorRT's latest error messages on one line."""
        return join_messages(self._logger.words)

    @property
    def activation_bytes(self) -> int:
        """Bytes of device memory that each execution context must be given; 0 where it allocates them itself.

        TensorRT before 10.1 allocates: it lacks this size, and the call that hands over memory with its size.
        """
        return int(getattr(self._engine, _ACTIVATION_BYTES, 0))

    @property
    def device_bytes(self) -> int:
        """Bytes of device memory that the activations of an execution context take."""
        return self.activation_bytes or int(getattr(self._engine, "device_memory_size", 0))

    def layer_texts(self) -> list[str]:
        """Ask TensorRT's inspector for each layer, as JSON; engines of the lean runtime have none: no layers."""
        has_inspector = hasattr(self._trt, "EngineInspector")
        inspector = self._engine.create_engine_inspector() if has_inspector else None
        if inspector is None:
            return []
        layout = self._trt.LayerInformationFormat.JSON
        return [inspector.get_layer_information(k, layout) for k in range(self._engine.num_layers)]

    @property
    def _rebuild(self) -> str:
        return f"Run: {self._manifest.key.build_line}"

    def create_context(self) -> Any:
        """Create an execution context; it runs in memory of `activation_bytes` that it is given, else in its own.

        Raises:
            DeviceMemoryError: too little memory for it.
        """
        self._logger.words.clear()
        context = self._engine.create_execution_context(*self._how)
        if not context:
            raise self._load_error(
                DeviceMemoryError, "no execution context", "enough free memory",
                "Close what else uses the GPU (see nvidia-smi), or run with --backend ort.",
            )  # fmt: skip
        return context

    def keep_cache(self) -> None:
        """Save the kernels that TensorRT for RTX has compiled for this GPU, so that the next start is faster."""
        if self._cache is None:
            return
        blob = bytes(self._cache.serialize() or b"")
        if not blob or blob == self._kept:
            return
        try:
            make_folder(self._cache_path.parent)
            with atomic_path(self._cache_path) as part:
                part.write_bytes(blob)
            self._kept = blob
        except OutputError as error:
            _log.info("the runtime cache of %s is not kept: %s", self.stage, error)

    def close(self) -> None:
        """Free the engine; its contexts must have been freed before. More than once is fine."""
        self._how = []
        self._cache = None
        self._engine = None
        self._runtime = None
        self._lender = None

    def _check_runtime(self, trt: ModuleType) -> None:
        """Raise `PlanMismatchError` for a plan that takes the very TensorRT that built it, if this is another."""
        key = self._manifest.key
        if self._manifest.is_version_compatible or (str(trt.__version__) == key.version and not is_lean(trt)):
            return
        raise PlanMismatchError(
            f"TensorRT cannot load {self.stage}",
            got=f"{trt.__name__} {trt.__version__} and a plan that is not version-compatible",
            expected=f"{self.flavour.module} {key.version}, which built it",
            hint=self._rebuild + " --version-compatible" * (self.flavour is Flavour.TRT),
        )

    def _load_lean_runtime(self) -> Any:
        """Let this TensorRT load the lean runtime of the version that built the plan, and return it."""
        library = lean_library()
        self._lender = self._runtime  # It must outlive the runtime that it loads.
        runtime = None if library is None else self._lender.load_runtime(str(library))
        if not runtime:
            raise self._load_error(
                PlanMismatchError, f"no lean runtime (library: {library})", f"that of {self._manifest.key.version}",
                f"Run: pip install tensorrt-lean=={self._manifest.key.version}. Or build again: {self._rebuild}",
            )  # fmt: skip
        return runtime

    def _load(self, trt: ModuleType, plan: bytes) -> None:
        self._check_runtime(trt)
        self._logger.words.clear()
        try:
            self._runtime = trt.Runtime(self._logger)
        except (TypeError, RuntimeError) as error:  # A null object of TensorRT raises these.
            hint = "Update NVIDIA's driver, or run with --backend ort."
            raise self._load_error(DriverError, f"no runtime ({error})", "a driver that it knows", hint) from error
        if str(trt.__version__) != self._manifest.key.version:
            self._runtime = self._load_lean_runtime()
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if not self._engine:
            # A new `any` plan would be the same as this one, which does not run on this GPU.
            is_any = self.flavour is Flavour.RTX and self._manifest.key.capability == ANY_CAPABILITY
            hint = "Use --backend trt or ort." if is_any else self._rebuild
            why = f"a plan that it does not take ({_diagnosis(self._runtime, plan)})"
            raise self._load_error(PlanMismatchError, why, "a plan for this TensorRT and this GPU", hint)
        self._check_tensors()

    def _check_tensors(self) -> None:
        """Compare the engine's inputs and outputs with the manifest's."""
        wanted = {str(spec): "INPUT" for spec in self.inputs} | {str(spec): "OUTPUT" for spec in self.outputs}
        found = {}
        for k in range(self._engine.num_io_tensors):
            name = self._engine.get_tensor_name(k)
            kind = self._engine.get_tensor_dtype(name).name
            spec = TensorSpec(name, _DTYPES.get(kind, kind), tuple(self._engine.get_tensor_shape(name)))
            found[str(spec)] = self._engine.get_tensor_mode(name).name
        if found != wanted:
            raise self._load_error(PlanCorruptError, f"tensors {found}", f"{wanted}, as in its manifest", self._rebuild)

    def _open_cache(self, trt: ModuleType, driver: Driver) -> None:
        """Give TensorRT for RTX the kernels that it compiled for this GPU when a context was made before."""
        major, minor = driver.device.capability
        name = f"{self._manifest.plan_sha256[:16]}_sm{major}{minor}.cache"
        self._cache_path: Path = cache_dir() / "runtime_cache" / name
        config = self._engine.create_runtime_config()
        config.cuda_graph_strategy = trt.CudaGraphStrategy.DISABLED  # Each worker slot captures its own graphs.
        config.set_execution_context_allocation_strategy(*self._how)
        self._cache = config.create_runtime_cache()
        with suppress(OSError):
            blob = self._cache_path.read_bytes()
            if self._cache.deserialize(blob):
                self._kept = blob
            else:
                _log.info("%s is of another driver or GPU: it starts anew", self._cache_path)
        config.set_runtime_cache(self._cache)
        self._how = [config]

    def _load_error(self, kind: type[EcgTrtError], got: str, expected: str, hint: str) -> EcgTrtError:
        return kind(f"TensorRT cannot load {self.stage}", got=f"{got}: {self.messages()}", expected=expected, hint=hint)


def _diagnosis(runtime: Any, plan: bytes) -> str:
    """Ask TensorRT why it rejects a plan, where the version can answer."""
    ask = getattr(runtime, "get_engine_validity", None)
    if ask is None:
        return "no diagnosis"
    _, reasons = ask(plan)
    return str(reasons)
