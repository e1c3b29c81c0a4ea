"""Conversion of FP32 ONNX to FP16 with every type written down, as strongly typed TensorRT requires.

ONNX Runtime's converter was tried first: it leaves the nodes of these networks out of order (the scales of a Resize are
cast after their use), which the ONNX checker rejects, and it clips weights that FP16 cannot hold without a warning. The
rules are few enough to be written out here:

- weights and activations are FP16; graph inputs and outputs keep their types, so users of a plan feed and get FP32;
- an input that the operator's schema allows no FP16 for (the scales of a Resize) stays FP32;
- sums over many terms (`KEPT_FP32`) are done in FP32, as FP16 loses what is small against the sum and ends at 65504.
  Greatest values are exact in FP16. The soft-argmax that decides a coordinate stands outside the networks, in FP32;
- so is the layer that makes each output: rounded to FP16, neighbouring peaks of a heatmap tie, and the node that was
  found wanders from one to the other;
- pixels and other small integers are cast straight to FP16, in which they are exact.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, defs, helper, numpy_helper

from ecg_trt.errors import BuildError

FP16_MAX = 65504.0
KEPT_FP32 = frozenset(
    {
        "CumSum", "GlobalAveragePool", "GroupNormalization", "InstanceNormalization", "LayerNormalization",
        "LogSoftmax", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMean", "ReduceProd",
        "ReduceSum", "ReduceSumSquare", "Softmax",
    }
)  # fmt: skip
_FP32, _FP16 = int(TensorProto.FLOAT), int(TensorProto.FLOAT16)
_MOVING = frozenset(
    {
        "DepthToSpace", "Flatten", "Identity", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Transpose",
        "Unsqueeze",
    }
)  # fmt: skip
_SUFFIX = {_FP32: "_as_fp32", _FP16: "_as_fp16"}
_EXACT_IN_FP16 = frozenset({TensorProto.UINT8, TensorProto.INT8, TensorProto.BOOL})


def to_float16(model: ModelProto) -> ModelProto:
    """Convert the weights and activations of a network to FP16.

    Args:
        model: FP32, every type inferable; shapes may be free.

    Returns:
        A new model; the nodes are in order, each cast stands before its first use.

    Raises:
        BuildError: a weight that FP16 cannot hold, control flow, or an operator outside the ONNX standard.
    """
    graph = model.graph
    rewriter = _Rewriter(model)
    nodes = [new for node in graph.node for new in rewriter.rewrite(node)]
    nodes += rewriter.finish()
    weights = [w for w in graph.initializer if w.data_type != _FP32] + rewriter.constants
    made = helper.make_graph(nodes, graph.name, list(graph.input), list(graph.output), weights)
    return helper.make_model(
        made, opset_imports=list(model.opset_import), ir_version=model.ir_version, producer_name="ecg_trt"
    )


class _Rewriter:
    """Rewriter of nodes, one by one; it keeps the names under which each FP32 tensor is available in either type."""

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        self.opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
        self.type_of = element_types(model)
        self.ends = [value.name for value in graph.output]
        self.heads = _heads(graph)
        self.have = {(v.name, _FP32): v.name for v in graph.input if self.type_of[v.name] == _FP32}
        self.values = {w.name: numpy_helper.to_array(w) for w in graph.initializer if w.data_type == _FP32}
        self.constants: list[TensorProto] = []
        self.casts: list[NodeProto] = []  # Casts are written before the node that needs them.

    def rewrite(self, node: NodeProto) -> Iterator[NodeProto]:
        """Rewrite a node in its new types, preceded by the casts that it needs."""
        if any(a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for a in node.attribute):
            raise _unfit(f"{node.op_type} {node.name!r}", "a network without control flow")
        if node.op_type == "Constant" and self.type_of[node.output[0]] == _FP32:
            self.values[node.output[0]] = _constant(node)
            return
        new = NodeProto()
        new.CopyFrom(node)
        types = self._choose(new)
        for k, name in enumerate(node.input):
            if self.type_of.get(name) == _FP32:
                new.input[k] = self.ask(name, types[f"in{k}"])
        for k, name in enumerate(node.output):
            if self.type_of.get(name) == _FP32:
                chosen = types[f"out{k}"]
                taken = name in self.ends and chosen == _FP16  # The graph's FP32 output keeps the old name.
                new.output[k] = self.have[name, chosen] = name + _SUFFIX[_FP16] if taken else name
        yield from self._take_casts()
        yield new

    def ask(self, name: str, wanted: int) -> str:
        """Return the name under which an FP32 tensor of the old graph is available in the wanted type."""
        if (name, wanted) in self.have:
            return self.have[name, wanted]
        if name in self.values:
            own = name if (wanted == _FP16) != (name in self.ends) else name + _SUFFIX[wanted]
            self.constants.append(numpy_helper.from_array(_narrowed(name, self.values[name], wanted), own))
        else:
            other = self.have[name, _FP32 if wanted == _FP16 else _FP16]
            own = name if name in self.ends and wanted == _FP32 else name + _SUFFIX[wanted]
            self.casts.append(helper.make_node("Cast", [other], [own], name=f"{own}/cast", to=wanted))
        self.have[name, wanted] = own
        return own

    def finish(self) -> Iterator[NodeProto]:
        """Make the casts that return the graph's outputs to FP32."""
        for name in self.ends:
            if self.type_of[name] == _FP32:
                self.ask(name, _FP32)
        yield from self._take_casts()

    def _take_casts(self) -> list[NodeProto]:
        taken, self.casts = self.casts, []
        return taken

    def _choose(self, node: NodeProto) -> dict[str, int]:
        """Choose FP16 or FP32 for every FP32 input ("in0", ...) and output ("out0", ...) of a node."""
        if node.op_type == "Cast":
            return self._choose_cast(node)
        try:
            schema = defs.get_schema(node.op_type, self.opset, node.domain)
        except defs.SchemaError:
            raise _unfit(f"{node.domain or 'ai.onnx'} {node.op_type}", f"operators of opset {self.opset}") from None
        allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}

        def halved(parameter: str) -> bool:
            is_kept = node.op_type in KEPT_FP32 or node.output[0] in self.heads
            return not is_kept and "tensor(float16)" in allowed.get(parameter, ())

        inputs = [schema.inputs[min(k, len(schema.inputs) - 1)].type_str for k in range(len(node.input))]
        outputs = [schema.outputs[min(k, len(schema.outputs) - 1)].type_str for k in range(len(node.output))]
        chosen = {f"in{k}": _FP16 if halved(p) else _FP32 for k, p in enumerate(inputs)}
        # An output whose type comes from no input gets it from an attribute, and keeps it.
        return chosen | {f"out{k}": _FP16 if halved(p) and p in inputs else _FP32 for k, p in enumerate(outputs)}

    def _choose_cast(self, node: NodeProto) -> dict[str, int]:
        """Choose the types of a cast: its input as it is, its output in FP16 where that is exact."""
        source = node.input[0]
        there = _FP16 if (source, _FP16) in self.have else _FP32
        target = _FP32
        to = next(attribute for attribute in node.attribute if attribute.name == "to")
        if to.i == _FP32 and self.type_of[source] in _EXACT_IN_FP16:
            to.i = target = _FP16
        return {"in0": there, "out0": target}


def _heads(graph: GraphProto) -> set[str]:
    """Find the tensors between the graph's outputs and the layers that compute them; reshaping is not computing."""
    maker = {name: node for node in graph.node for name in node.output}
    pending, found = [value.name for value in graph.output], set[str]()
    while pending:
        node = maker.get(pending.pop())
        if node is None or node.output[0] in found:
            continue
        found |= set(node.output)
        if node.op_type in _MOVING:
            pending.append(node.input[0])
    return found


def element_types(model: ModelProto) -> dict[str, int]:
    """Map every tensor name in the graph to its element type."""
    expected = "a network of standard operators, whose types can be inferred"
    try:
        graph: GraphProto = onnx.shape_inference.infer_shapes(model, check_type=True).graph
    except onnx.shape_inference.InferenceError as error:
        raise _unfit(" ".join(str(error).split()), expected) from error
    values = [*graph.input, *graph.value_info, *graph.output]
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    found |= {weight.name: weight.data_type for weight in graph.initializer}
    unknown = [name for node in graph.node for name in node.output if name and not found.get(name)]
    if unknown:
        raise _unfit(f"no type for {unknown[0]!r}", expected)
    return found


def _constant(node: NodeProto) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    value = helper.get_attribute_value(node.attribute[0])
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value, np.float32)


def _narrowed(name: str, value: np.ndarray[tuple[int, ...], np.dtype[np.float32]], wanted: int) -> np.ndarray:  # type: ignore[type-arg]
    """Convert the value of a weight to the wanted type."""
    if wanted == _FP32:
        return value
    worst = float(np.abs(value).max(initial=0.0))
    if not worst <= FP16_MAX:
        raise BuildError(
            "The network cannot be brought to FP16",
            got=f"{worst:g} in {name!r}",
            expected=f"weights of at most {FP16_MAX:g}",
            hint="Build it with --precision fp32.",
        )
    return value.astype(np.float16)


def _unfit(got: str, expected: str) -> BuildError:
    return BuildError(
        "The network cannot be brought to FP16", got=got, expected=expected, hint="Build it with --precision fp32."
    )
