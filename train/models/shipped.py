"""Networks of the package, from their ONNX files back to PyTorch.

The exporter folds every batch norm into the convolution before it and renames what it folded, but it writes the
convolutions in the order in which they run; so they are paired with the modules in that order, and every shape, and
every name that survived, is compared.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ecg_trt.errors import WeightsError
from ecg_trt.weights import weights_path
from train.models.encoders import Network, build_network

_SMALLEST_PX = 64  # an image of this side goes through all networks
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)


def load_folded(stage: str, path: Path | None = None) -> Network:
    """Build the network of a stage with the weights of an ONNX file, batch norms folded, in FP32 on the CPU.

    Args:
        stage: of the network.
        path: ONNX file; the one that the package ships if None.

    Raises:
        WeightsError: the ONNX file and the module are not of one make.
        ImportError: onnx is not installed.
    """
    model = build_network(stage).eval()
    for block in _normalised_blocks(model):
        block[1] = nn.Identity()
    for convolution, weight, bias in _paired(stage, model, path or weights_path(stage)):
        convolution.weight = nn.Parameter(weight, requires_grad=False)
        convolution.bias = nn.Parameter(bias, requires_grad=False)
    return model


def load_shipped(stage: str, path: Path, images: Iterable[Tensor]) -> Network:
    """Build the network of a stage from an ONNX file with its batch norms restored, to be trained on.

    With w' and b' the folded weight and bias, and m and v the mean and variance of what the convolution with w' gives
    on the images, a batch norm of running mean m, running variance v, scale sqrt(v + eps) and shift b' + m answers
    exactly what the folded convolution answers.

    Args:
        stage: of the network.
        path: ONNX file that `train.export` wrote.
        images: batches (N, H, W, 3) uint8 as the network sees them in training; at least one.

    Raises:
        WeightsError: the ONNX file and the module are not of one make.
    """
    model = build_network(stage).eval()
    norms: dict[nn.Module, nn.BatchNorm2d] = {}
    for block in _normalised_blocks(model):
        norms[block[0]] = block[1]  # type: ignore[assignment]
    with torch.no_grad():
        for convolution, weight, bias in _paired(stage, model, path):
            convolution.weight.copy_(weight)
            if convolution in norms:
                _restore(norms[convolution], bias, torch.zeros_like(bias), torch.ones_like(bias))
            elif convolution.bias is not None:
                convolution.bias.copy_(bias)
        for norm, mean, variance in _measured(model, list(norms.values()), images):
            _restore(norm, norm.bias.clone(), mean, variance)
    return model


def _restore(norm: nn.BatchNorm2d, folded_bias: Tensor, mean: Tensor, variance: Tensor) -> None:
    """Set a batch norm that only adds a bias, whatever the mean and the variance."""
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(folded_bias + mean)


def _measured(
    model: Network, norms: list[nn.BatchNorm2d], images: Iterable[Tensor]
) -> list[tuple[nn.BatchNorm2d, Tensor, Tensor]]:
    """Measure mean and variance of each channel of each batch norm's input over all images."""
    sums = {norm: torch.zeros(3, norm.num_features, dtype=torch.float64) for norm in norms}

    def add(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].double()
        total, squares = values.sum((0, 2, 3)), values.square().sum((0, 2, 3))
        sums[norm] += torch.stack([total, squares, torch.full_like(total, values[:, 0].numel())])  # type: ignore[index]

    with ExitStack() as hooks:
        for norm in norms:
            hooks.callback(norm.register_forward_pre_hook(add).remove)
        for image in images:
            model(image)
    result = []
    for norm, (total, squares, count) in sums.items():
        mean = total / count
        result.append((norm, mean.float(), (squares / count - mean.square()).clamp(min=0).float()))
    return result


def _normalised_blocks(model: Network) -> list[nn.Sequential]:
    """List the blocks of convolution, batch norm and ReLU."""
    blocks = [module for module in model.modules() if isinstance(module, nn.Sequential) and len(module) > 1]
    return [block for block in blocks if isinstance(block[1], nn.BatchNorm2d)]


def _paired(stage: str, model: Network, path: Path) -> list[tuple[Any, Tensor, Tensor]]:
    """Pair every convolution of a network with its weight and bias in an ONNX file."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    weights = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    modules = _in_running_order(model)
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    if len(nodes) != len(modules):
        raise _unlike(stage, path, f"{len(nodes)} convolutions in the ONNX file", f"{len(modules)}")
    pairs = []
    for node, (name, convolution) in zip(nodes, modules, strict=True):
        weight, bias = (np.array(weights[source]) for source in node.input[1:3])
        if weight.shape != tuple(convolution.weight.shape) or bias.shape != weight.shape[:1]:
            wanted = tuple(convolution.weight.shape)
            raise _unlike(stage, path, f"{node.name} of {weight.shape}", f"{name} of {wanted}")
        if node.input[1].startswith("model.") and node.input[1] != f"model.{name}.weight":
            raise _unlike(stage, path, f"weights named {node.input[1]}", f"model.{name}.weight")
        pairs.append((convolution, torch.from_numpy(weight), torch.from_numpy(bias)))
    return pairs


def _in_running_order(model: Network) -> list[tuple[str, Any]]:
    """Names and modules of the convolutions, in the order in which they run."""
    ran: list[tuple[str, Any]] = []
    with ExitStack() as hooks, torch.inference_mode():
        for name, module in model.named_modules():
            if isinstance(module, _CONVOLUTIONS):
                hook = module.register_forward_hook(lambda module, _in, _out, name=name: ran.append((name, module)))
                hooks.callback(hook.remove)
        model(torch.zeros(1, _SMALLEST_PX, _SMALLEST_PX, 3, dtype=torch.uint8))
    return ran


def _unlike(stage: str, path: Path, got: str, expected: str) -> WeightsError:
    return WeightsError(f"{path.name} is not the network of {stage}", got=got, expected=expected,
                        hint="Bring train/models and the ONNX file to the same commit.")  # fmt: skip
