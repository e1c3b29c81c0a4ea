"""Export of averaged weights to the package: `python -m train.export --runs runs`.

Each network becomes `ecg_trt/weights/stageN.onnx` (opset 17, FP32, uint8 RGB or beats in), compared with PyTorch before
it replaces the one that is there; `manifest.json` holds the hashes. `--exported DIR` writes exported programs instead,
in FP32 and FP16, for `ecg-trt build --frontend torch`.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime
import torch
from torch import nn

from ecg_trt.networks import NETWORKS
from ecg_trt.types import Array
from ecg_trt.weights import FOLDER, MANIFEST
from train.config import Model
from train.models import BeatNet, Network, UNet, build_network, count_macs

log = logging.getLogger("train.export")
OPSET = 17
_HALF_STEP, _KEPT = 1 << 12, 0xFFFFE000  # of the 23 bits of FP32 after the point, 13 become 0
_TOLERANCE = 2e-3  # logits; the folded batch norms round differently


class _Named(nn.Module):
    """Network with a tuple of outputs, as the exporter needs it."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        out = self.model(image)
        return tuple(out[name] for name in self.names)


def load_network(stage: str, checkpoint: Path) -> tuple[Network, tuple[str, ...]]:
    """Load the averaged network of a run, and its outputs' names."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = Model(**saved.get("network", {}))
    model = build_network(stage, replace(network, pretrained=False, deep_supervision=0)).eval()
    model.load_state_dict({key: value for key, value in saved["ema"].items() if not key.startswith("aux.")})
    return model, model.spec.outputs


def export(stage: str, checkpoint: Path, target: Path) -> float:
    """Write one network, its weights rounded; give the greatest difference from PyTorch on a random input."""
    model, names = load_network(stage, checkpoint)
    named = _Named(model, names).eval()
    image, entry = model.spec.example(), NETWORKS[stage].inputs[0]
    part = target.with_suffix(".part")
    torch.onnx.export(named, (image,), str(part), input_names=[entry.name], output_names=list(names),
                      opset_version=OPSET, dynamic_axes={entry.name: dict(entry.free)} | {n: {0: "n"} for n in names},
                      dynamo=False)  # fmt: skip
    with torch.no_grad():
        expected = [answer.numpy() for answer in named(image)]
    worst = _difference(part, image, names, expected)
    if worst > _TOLERANCE:
        raise RuntimeError(f"{stage}: ONNX Runtime differs from PyTorch by {worst:.2e}, expected {_TOLERANCE:.0e}")
    _shorten(part)
    worst = _difference(part, image, names, expected)
    part.replace(target)
    return worst


def _difference(path: Path, image: torch.Tensor, names: tuple[str, ...], expected: list[Array]) -> float:
    """Greatest difference of the outputs of an ONNX file from expected ones."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = session.run(list(names), {session.get_inputs()[0].name: image.numpy()})
    return max(float(np.abs(g - e).max()) for g, e in zip(got, expected, strict=True))


def _shorten(path: Path) -> None:
    """Round the weights of an ONNX file to the 10 bits after the point that FP16 has; they stay FP32.

    An engine in FP16 has no more, the outputs change less than by its own rounding, and the file compresses to half.
    """
    model = onnx.load(path)
    for weight in model.graph.initializer:
        if weight.data_type == onnx.TensorProto.FLOAT and len(weight.dims) > 1:
            bits = onnx.numpy_helper.to_array(weight).view(np.uint32)
            short = ((bits + np.uint32(_HALF_STEP)) & np.uint32(_KEPT)).view(np.float32)
            weight.CopyFrom(onnx.numpy_helper.from_array(short, weight.name))
    onnx.save(model, path)


def export_program(stage: str, checkpoint: Path, folder: Path, precision: str) -> Path:
    """Write one network as an exported program of the plan's shapes; give its path."""
    model, names = load_network(stage, checkpoint)
    if precision == "fp16":
        halve(model)
    entry = NETWORKS[stage].inputs[0]
    image = torch.zeros(entry.shape, dtype=getattr(torch, entry.dtype))
    target = folder / f"{stage}.{precision}.pt2"
    torch.export.save(torch.export.export(_Named(model, names).eval(), (image,)), target)
    return target


def halve(model: Network) -> None:
    """Convert to FP16 within and FP32 at both ends: a heatmap rounded to FP16 has ties."""
    model.half()
    model.entrance.register_forward_pre_hook(lambda _, args: (args[0].half(),))
    further = [model.column] if isinstance(model, UNet) and model.spec.column_heads else []
    if isinstance(model, BeatNet) and model.figures is not None:
        further = [model.figures]
    for head in (model.head, *further):
        head.float()
        head.register_forward_pre_hook(lambda _, args: (args[0].float(),))


def main() -> None:
    """Export every stage that has a checkpoint."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=FOLDER, help="instead of the package's folder")
    parser.add_argument("--exported", type=Path, metavar="DIR", help="write exported programs there, and no ONNX")
    args = parser.parse_args()
    if args.exported:
        args.exported.mkdir(parents=True, exist_ok=True)
        found = [stage for stage in NETWORKS if (args.runs / stage / "last.pt").exists()]
        for stage, precision in itertools.product(found, ("fp32", "fp16")):
            log.info("%s", export_program(stage, args.runs / stage / "last.pt", args.exported, precision))
        return
    out = args.out
    out.mkdir(parents=True, exist_ok=True)
    index = out / MANIFEST
    manifest: dict[str, dict[str, str]] = json.loads(index.read_text()) if index.exists() else {}
    for stage in NETWORKS:
        checkpoint = args.runs / stage / "last.pt"
        if not checkpoint.exists():
            continue
        target = out / f"{stage}.onnx"
        worst = export(stage, checkpoint, target)
        manifest[stage] = {"file": target.name, "sha256": hashlib.sha256(target.read_bytes()).hexdigest()}
        model, _ = load_network(stage, checkpoint)
        log.info("%s: %.2f M parameters, %.2f GMAC an image, differs from PyTorch by %.1e", stage,
                 sum(p.numel() for p in model.parameters()) / 1e6, count_macs(model) / 1e9, worst)  # fmt: skip
    index.write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()
