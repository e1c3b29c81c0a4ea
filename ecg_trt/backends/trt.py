"""TensorRT, both flavours: plans from the store, run on the stream of the pixel work, each stage one CUDA graph.

What is shared by all slots lies in `Engines`: the driver, the kernels, and one engine a network. A slot (`Runtime`) has
a stream, its own memory, and one execution context a network.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ecg_trt.backends.base import check_feed, closed_error
from ecg_trt.backends.engine import Engine
from ecg_trt.backends.runtime import Runtime
from ecg_trt.closeable import Closeable
from ecg_trt.cuda.decode import open_gpu_decoder
from ecg_trt.cuda.driver import Driver, span_of
from ecg_trt.cuda.graph import Graph
from ecg_trt.cuda.kernel_set import Kernels
from ecg_trt.cuda.memory import DeviceArray, DeviceBuffer
from ecg_trt.cuda.select import open_driver
from ecg_trt.engines.manifest import ANY_CAPABILITY, Flavour, Manifest, PlanKey
from ecg_trt.engines.store import PlanStore, serves_any_plan
from ecg_trt.engines.tensorrt_module import import_tensorrt, listed_capabilities, loadable_versions
from ecg_trt.errors import BackendError, BackendUnavailableError, DeviceError, DeviceFaultError
from ecg_trt.networks import NETWORKS, own_buffer
from ecg_trt.ops.cuda_work import CudaWork, Sizes
from ecg_trt.ops.select import open_cuda_ops
from ecg_trt.types import Array, TensorSpec
from ecg_trt.weights import weights_sha256

if TYPE_CHECKING:
    from ecg_trt.backends.runtime import PhotoDecoder
    from ecg_trt.ops.base import ImageOps

_log = logging.getLogger(__name__)
_PRECISIONS = ("fp16", "fp32")  # They are looked for in this order.


class TrtBackend(Closeable):
    """Backend of one network in one worker slot.

    `infer` takes arrays on the GPU, or numpy arrays, and answers in kind; what it answers on the GPU lies there until
    the next call.

    Args:
        engine: of the network, shared with other slots; it must live longer.
        work: of the slot: its stream carries the network.
        activations: device memory of at least `engine.activation_bytes`, which the networks of a slot share: they run
            one after the other on its stream; it must live longer, as graphs hold its address. None where that is 0.

    Raises:
        DeviceMemoryError: too little memory for the activations.
        DeviceError: the network does not run.
    """

    def __init__(self, engine: Engine, work: CudaWork, activations: DeviceBuffer | None = None) -> None:
        self.name, self.inputs, self.outputs = str(engine.flavour), engine.inputs, engine.outputs
        self._engine, self._work, self._stage = engine, work, engine.stage
        self._bound: dict[str, int] = {}
        self._graph = Graph(work.driver, work.stream)
        self._is_graphed = True
        self._context: Any = engine.create_context()
        try:
            if activations is not None:
                self._context.set_device_memory(activations.handle, activations.nbytes)
            self._warm_up()
        except BaseException:
            self.close()
            raise

    def infer(self, feed: Mapping[str, Any]) -> dict[str, Any]:
        """See `Backend.infer`."""
        if self._context is None:
            raise closed_error(self.name)
        check_feed(self.inputs, feed, (np.ndarray, DeviceArray))
        on_host = any(isinstance(array, np.ndarray) for array in feed.values())
        there = {name: self._on_gpu(name, array) for name, array in feed.items()}
        out = self._run(there)
        if not on_host:
            return out
        return dict(zip(out, self._work.download(*out.values()), strict=True))

    def close(self) -> None:
        """Free the graph and the context once their work is done; more than once is fine."""
        if self._context is not None:
            with suppress(BackendError):  # A GPU that has failed cannot be waited for.
                self._work.stream.sync()
        self._graph.close()
        self._context = None

    def _on_gpu(self, name: str, array: Array | DeviceArray) -> DeviceArray:
        if isinstance(array, DeviceArray):
            return array
        return self._work.memory.upload(own_buffer(self._stage, name), array)

    def _array(self, name: str, spec: TensorSpec) -> DeviceArray:
        return self._work.memory.array(name, [int(side or 0) for side in spec.shape], spec.dtype)

    def _run(self, feed: Mapping[str, DeviceArray]) -> dict[str, DeviceArray]:
        out = {spec.name: self._array(own_buffer(self._stage, spec.name), spec) for spec in self.outputs}
        bound = {name: array.address for name, array in (*feed.items(), *out.items())}
        if bound != self._bound:
            self._bound = {}
            for name, address in bound.items():
                if not self._context.set_tensor_address(name, address):
                    raise self._fault(f"no address for {name}")
            self._bound = bound
        if self._is_graphed:
            self._graph.run(tuple(sorted(bound.items())), self._enqueue)
        else:
            self._enqueue()
        return out

    def _enqueue(self) -> None:
        stream = self._work.stream.handle
        with span_of(self._work.driver, self._stage, stream):
            if not self._context.execute_async_v3(stream):
                raise self._fault("a network that cannot be started")

    def _warm_up(self) -> None:
        """Run on grey images until the graph is captured; without graphs where the network cannot be captured.

        The images lie where the pixel work will leave them, so that the graph is captured for these addresses.
        """
        ask = getattr(self._context, "is_stream_capturable", None)
        feed = {spec.name: self._array(self._buffer_of(spec.name), spec) for spec in self.inputs}
        for array in feed.values():
            self._work.driver.fill(array.address, 114, array.nbytes, self._work.stream.handle)
        self._run(feed)
        self._work.stream.sync()
        self._engine.keep_cache()
        self._is_graphed = self._work.driver.graphs and (ask is None or bool(ask(self._work.stream.handle)))
        try:
            self._run(feed)
        except DeviceError as error:
            if not self._is_graphed:
                raise
            _log.info("%s runs without a CUDA graph: %s", self._stage, error)
            self._is_graphed = False
            self._graph.close()
            self._run(feed)
        self._work.stream.sync()

    def _buffer_of(self, name: str) -> str:
        """Name the workspace buffer of an input; a plan of a network that the registry lacks has its own."""
        spec = NETWORKS.get(self._stage)
        return own_buffer(self._stage, name) if spec is None else spec.buffer_of(name)

    def _fault(self, what: str) -> DeviceFaultError:
        return DeviceFaultError(
            f"TensorRT cannot run {self._stage}",
            got=f"{what}: {self._engine.messages()}",
            expected="a run",
            hint="Start the program again; if it comes back, run with --backend ort and report it.",
        )


class Engines:
    """Driver, kernels and engines that the worker slots share; closed after them.

    Args:
        flavour: of TensorRT.
        driver: of the GPU; opened, and closed with this, if None.
        store: of the plans, the default one if None.
        networks: names of those that are loaded; all if None.

    Raises:
        BackendUnavailableError: TensorRT, or what drives the GPU, is not installed.
        DriverError: no GPU that can be used.
        PlanError: a plan is missing, for something else, or cannot be trusted.
        DeviceError: the GPU does not serve.
    """

    def __init__(
        self, flavour: Flavour, driver: Driver | None = None, store: PlanStore | None = None,
        networks: Sequence[str] | None = None,
    ) -> None:  # fmt: skip
        with ExitStack() as stack:
            driver = _opened(driver, stack)
            self.driver, self.flavour = driver, flavour
            trt = import_tensorrt(flavour)
            plans = current_plans(flavour, trt, driver, store or PlanStore(), networks)
            self.kernels = stack.enter_context(Kernels(driver))
            self._engines = {
                name: stack.enter_context(Engine(trt, plan, manifest, driver))
                for name, (plan, manifest) in plans.items()
            }
            self._stack = stack.pop_all()

    def worker_slot(self, *, is_last: bool = False) -> Runtime:
        """Open a worker slot; the last one to be closed frees all that is shared, also where it cannot be opened."""
        with ExitStack() as stack:
            if is_last:
                stack.callback(self.close)
            ops = stack.enter_context(open_cuda_ops(self.driver, self.kernels))
            activations = _activations(self.driver, self._engines.values(), stack)
            backends = {
                name: stack.enter_context(TrtBackend(engine, ops, activations))
                for name, engine in self._engines.items()
            }
            decoder = open_gpu_decoder(self.driver, ops.stream)
            if decoder is not None:
                stack.enter_context(decoder)
            open_replica = self.worker_slot if self.driver.any_thread else None
            on_gpu = cast("ImageOps", ops)  # Its arrays are device arrays in place of numpy's.
            return Runtime(
                str(self.flavour), backends, on_gpu, decoder=cast("PhotoDecoder | None", decoder),
                on_close=stack.pop_all().close, open_replica=open_replica,
            )  # fmt: skip

    def close(self) -> None:
        """Free everything; more than once is fine."""
        self._stack.close()


def current_plans(
    flavour: Flavour, trt: ModuleType, driver: Driver, store: PlanStore, networks: Sequence[str] | None = None
) -> dict[str, tuple[bytes, Manifest]]:
    """Load and check the plans of networks, all if None, for this GPU: FP16 if it is there, else FP32.

    Raises:
        WeightsError: the package ships no network of a name.
        PlanError: of the first network for which neither can be used; the reason is that of FP16.
        BackendUnavailableError: this TensorRT runs no plan on this GPU.
    """
    capability = _plan_capability(flavour, trt, driver.device.compute_capability)
    versions, found = loadable_versions(flavour, trt), {}
    for name in NETWORKS if networks is None else networks:
        digest = weights_sha256(name)
        keys = [PlanKey(name, flavour, v, capability, p, digest) for v in versions for p in _PRECISIONS]
        found[name] = store.load(next((key for key in keys if store.find(key)), keys[0]))
    return found


def _plan_capability(flavour: Flavour, trt: ModuleType, capability: str) -> str:
    """Find the compute capability of the plans that serve a GPU: `ANY_CAPABILITY` if TensorRT for RTX does not list it.

    Raises:
        BackendUnavailableError: TensorRT for RTX neither lists the GPU nor runs `ANY_CAPABILITY` plans on it.
    """
    if flavour is Flavour.TRT or capability in listed_capabilities(trt):
        return capability
    if serves_any_plan(capability):
        return ANY_CAPABILITY
    raise BackendUnavailableError(
        "TensorRT for RTX cannot be used",
        got=f"a GPU of compute capability {capability}",
        expected=f"8.0 or later, or one that version {trt.__version__} lists: {', '.join(listed_capabilities(trt))}",
        hint="Use --backend trt or ort.",
    )


def open_trt_runtime(
    flavour: Flavour, driver: Driver | None = None, store: PlanStore | None = None,
    networks: Sequence[str] | None = None,
) -> Runtime:  # fmt: skip
    """Open the first worker slot; closing it frees all that it shares. Arguments and errors are those of `Engines`."""
    return Engines(flavour, driver, store, networks).worker_slot(is_last=True)


@contextmanager
def open_plan_alone(plan: bytes, manifest: Manifest, driver: Driver | None = None) -> Iterator[TrtBackend]:
    """Open one plan on the GPU at hand, without the pixel work. `driver`, and what is raised, are as of `Engines`."""
    sizes = Sizes(
        photo_px=64, view_px=64, page_px=64, lines_px=64, tiles=1, tile_hw=(8, 8), heatmap_cells=64, heatmaps_bytes=64
    )
    with ExitStack() as stack:
        driver = _opened(driver, stack)
        trt = import_tensorrt(manifest.key.flavour)
        work = stack.enter_context(CudaWork(driver, sizes=sizes))
        engine = stack.enter_context(Engine(trt, plan, manifest, driver))
        yield stack.enter_context(TrtBackend(engine, work, _activations(driver, [engine], stack)))


def _opened(driver: Driver | None, stack: ExitStack) -> Driver:
    """Open a driver that is closed with the stack, unless the caller has one."""
    if driver is None:
        driver = open_driver()
        stack.callback(driver.close)
    return driver


def _activations(driver: Driver, engines: Iterable[Engine], stack: ExitStack) -> DeviceBuffer | None:
    """Allocate memory in which any of the engines can run, freed with the stack; None where none needs it."""
    nbytes = max(engine.activation_bytes for engine in engines)
    return stack.enter_context(DeviceBuffer(driver, nbytes)) if nbytes else None
