"""Registry of networks: inputs, outputs and the workspace buffers of their pictures.

Plans, their verification, runtime buffers, the averaging of several answers, and the export from PyTorch follow from a
`NetworkSpec`. To add a network, add its spec here and its ONNX file to the manifest of `ecg_trt.weights`: ``ecg-trt
build`` builds it then, and `backends.select.open_runtime` opens it by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ecg_trt.errors import OptionError
from ecg_trt.str_enum import StrEnum
from ecg_trt.types import TensorSpec

Shape = tuple[int, ...]

# Workspace buffers of the GPU's pixel work, by their names: a warped view of the photo, the flat page, tiles of strips.
VIEW, PAGE, TILES = "warped", "page", "tiles"


class HeadKind(StrEnum):
    """Meaning of an output."""

    CLASS = "class"  # (n, C) logits, a softmax over the classes
    BORDER = "border"  # (n, W) logits: does a lead of the strip begin or end at the column
    HEATMAP = "heatmap"  # (n, C, h, w) logits, each of a probability of its own
    PRESENCE = "presence"  # (n, W) logits: does the column show the trace that a ridge follows
    RIDGE = "ridge"  # (n, 1, H, W) logits, a softmax over each column; its mean is a height in px
    TEXT = "text"  # (n, 1, C, T) logits, a softmax over the classes of `printed.CHARACTERS` at each of T columns
    VALUE = "value"  # (n, C, ...) offsets, directions, logarithms, times or potentials; no probabilities


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a network.

    Attributes:
        name: of the tensor.
        shape: static shape of the plans, their one optimization profile.
        free: axis to its name in the ONNX file, where it takes any length.
        dtype: of the elements, as NumPy calls it.
        buffer: workspace buffer in which the pixel work leaves it, "" for one of its own.
    """

    name: str
    shape: Shape
    free: Mapping[int, str] = field(default_factory=lambda: {0: "n"})
    dtype: str = "uint8"
    buffer: str = ""

    @property
    def onnx(self) -> TensorSpec:
        """Input as the ONNX file declares it."""
        sides = tuple(self.free.get(axis, length) for axis, length in enumerate(self.shape))
        return TensorSpec(self.name, self.dtype, sides)

    @property
    def is_image(self) -> bool:
        """True for RGB pictures (n, H, W, 3)."""
        return len(self.shape) == 4 and self.shape[3] == 3


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """One network.

    Attributes:
        name: in the manifest of weights, in plans and on the command line, for example "stage0".
        inputs: the picture first.
        heads: output to its meaning; heads of one name mean the same in all networks.
        px_per_mm: scale of the paper in its picture, along x and y.
    """

    name: str
    inputs: tuple[InputSpec, ...]
    heads: Mapping[str, HeadKind] = field(default_factory=dict)
    px_per_mm: tuple[float, float] = (4.0, 4.0)

    @property
    def shapes(self) -> dict[str, Shape]:
        """Static shape of every input, by its name."""
        return {entry.name: entry.shape for entry in self.inputs}

    @property
    def batch(self) -> int:
        """Pictures that a plan takes at a time."""
        return self.inputs[0].shape[0]

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width of the picture that a plan takes, px."""
        height, width = self.inputs[0].shape[1:3]
        return height, width

    @property
    def card(self) -> str:
        """File name of the weight card, beside the ONNX file."""
        return f"{self.name}.md"

    def buffer_of(self, name: str) -> str:
        """Name the workspace buffer of an input: the one that the pixel work fills, else one of the network's own."""
        shared = next((entry.buffer for entry in self.inputs if entry.name == name), "")
        return shared or own_buffer(self.name, name)

    def head(self, kind: HeadKind) -> str:
        """Name the first output of a kind, "" where there is none."""
        return next((name for name, meaning in self.heads.items() if meaning is kind), "")


def own_buffer(network: str, tensor: str) -> str:
    """Name the workspace buffer that belongs to one tensor of one network alone."""
    return f"{network} {tensor}"


def _picture(n: int, height: int, width: int, buffer: str, free: Mapping[int, str] | None = None) -> InputSpec:
    """Specify an input of RGB pictures, any number of them in ONNX."""
    return InputSpec("image", (n, height, width, 3), free or {0: "n"}, buffer=buffer)


def _beat() -> InputSpec:
    """Specify the twelve leads of one beat."""
    return InputSpec("leads", (1, 12, 500), dtype="float32")


_HEATMAP, _VALUE = HeadKind.HEATMAP, HeadKind.VALUE

NETWORKS: dict[str, NetworkSpec] = {
    spec.name: spec
    for spec in (
        # The picture is the whole photo, letterboxed; a page that fills it has about 1.7 px/mm.
        NetworkSpec(
            "stage0", (_picture(1, 512, 512, VIEW),),
            {"page": _HEATMAP, "axes": _VALUE, "log_scale": _VALUE}, (1.7, 1.7),
        ),
        # An A4 page at full scale fits, in portrait or landscape.
        NetworkSpec(
            "stage1", (_picture(1, 1280, 1280, VIEW, {0: "n", 1: "h", 2: "w"}),),
            {"node": _HEATMAP, "offset": _VALUE, "zero": _HEATMAP, "start": _HEATMAP, "end": _HEATMAP,
             "pulse": _HEATMAP, "paper": _HEATMAP, "label": _HEATMAP},
            (4.0, 4.0),
        ),
        # A 3x4+1 page has four strips of two tiles. Each reaches 3.5 mV up and down at 10 mm/mV.
        NetworkSpec(
            "stage2", (_picture(8, 320, 2688, TILES),),
            {"ridge": HeadKind.RIDGE, "presence": HeadKind.PRESENCE, "border": HeadKind.BORDER}, (20.0, 4.5),
        ),
        # The picture is a crop of 8 by 32 mm around a line of text.
        NetworkSpec("caption", (_picture(1, 64, 256, PAGE),), {"text": HeadKind.TEXT}, (8.0, 8.0)),
        # A beat, the median of those around it, and nine figures of likeness and rhythm, 1.28 s at 125 Hz.
        NetworkSpec("heartbeat", (InputSpec("beat", (16, 11, 160), dtype="float32"),), {"beat_class": HeadKind.CLASS}),
        # Twelve leads of one beat in mV, 0.5 s at 1 kHz; out come 75 points of the heart.
        NetworkSpec("activation", (_beat(),), {"activation": _VALUE}),
        NetworkSpec("potentials", (_beat(),), {"potentials": _VALUE}),
    )
}  # fmt: skip


READING_NETWORKS = {name: NETWORKS[name] for name in ("stage0", "stage1", "stage2", "caption")}
"""Networks that a photo goes through; the others begin at a record."""


def network_spec(name: str) -> NetworkSpec:
    """Find a network by its name.

    Raises:
        OptionError: the registry has none of this name.
    """
    if name not in NETWORKS:
        raise OptionError(
            "Unknown network", got=repr(name), expected=f"one of {', '.join(NETWORKS)}", hint="Choose one of these."
        )
    return NETWORKS[name]


def head_kind(head: str) -> HeadKind:
    """Find the kind of an output by its name; a heatmap where no network has such an output."""
    known = (spec.heads[head] for spec in NETWORKS.values() if head in spec.heads)
    return next(known, HeadKind.HEATMAP)
