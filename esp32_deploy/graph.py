"""A .tflite as a small typed graph: tensors, operators, quantization. The only place that knows flatbuffers."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


class GraphError(ValueError):
    """A file that is no TensorFlow Lite model, or one that cannot be read."""


@dataclass(frozen=True)
class Tensor:
    """One tensor: shape in TensorFlow's order (NHWC), type such as INT8, scales and zero points (empty in float)."""

    name: str
    shape: tuple[int, ...]
    type: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    constant_bytes: int

    @property
    def is_constant(self) -> bool:
        """Weights and biases lie in the file; activations come into being when the model runs."""
        return self.constant_bytes > 0


@dataclass(frozen=True)
class Operator:
    """One operator with its tensors; an input left out is None."""

    name: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, counted for convolutions and dense layers only."""
        if self.name not in CONVOLUTIONS or self.inputs[1] is None:
            return 0
        # weights: conv (out, kh, kw, in), depthwise (1, kh, kw, out), dense (out, in)
        weights = self.inputs[1].shape
        per_output = prod(weights[1:3]) if self.name == "DEPTHWISE_CONV_2D" else prod(weights[1:])
        return prod(self.outputs[0].shape) * per_output

    @property
    def constant_bytes(self) -> int:
        """Bytes of weights and biases."""
        return sum(tensor.constant_bytes for tensor in self.inputs if tensor is not None)


@dataclass(frozen=True)
class Graph:
    """A model's only subgraph, operators in the order they run."""

    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    file_bytes: int

    @cached_property
    def operator_names(self) -> list[str]:
        """The different operators, sorted: what a board's interpreter must know."""
        return sorted({operator.name for operator in self.operators})

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return sum(operator.macs for operator in self.operators)


def read(path: Path) -> Graph:
    """Reads a .tflite file; raises GraphError when it is not one or has not exactly one subgraph."""
    from ai_edge_litert import schema_py_generated as schema

    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise GraphError(f"{path} is not a TensorFlow Lite model.")
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    subgraphs = model.subgraphs or []
    if len(subgraphs) != 1:
        raise GraphError(f"{path} has {len(subgraphs)} subgraphs; models with one can be read.")
    subgraph = subgraphs[0]
    type_names = _names(schema.TensorType)
    tensors = [_tensor(tensor, model.buffers, type_names) for tensor in subgraph.tensors]
    builtin_names = _names(schema.BuiltinOperator)
    codes = [builtin_names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    return Graph(
        operators=tuple(
            Operator(
                name=codes[operator.opcodeIndex],
                inputs=tuple(tensors[index] if index >= 0 else None for index in operator.inputs),
                outputs=tuple(tensors[index] for index in operator.outputs),
            )
            for operator in subgraph.operators
        ),
        inputs=tuple(tensors[index] for index in subgraph.inputs),
        outputs=tuple(tensors[index] for index in subgraph.outputs),
        file_bytes=len(content),
    )


def _names(enumeration: Any) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _tensor(tensor: Any, buffers: Any, type_names: dict[int, str]) -> Tensor:
    data = buffers[tensor.buffer].data
    quantization = tensor.quantization
    scales = () if quantization is None or quantization.scale is None else quantization.scale
    zero_points = () if quantization is None or quantization.zeroPoint is None else quantization.zeroPoint
    return Tensor(
        name=tensor.name.decode(),
        shape=() if tensor.shape is None else tuple(int(extent) for extent in tensor.shape),
        type=type_names[tensor.type],
        scales=tuple(float(scale) for scale in scales),
        zero_points=tuple(int(point) for point in zero_points),
        constant_bytes=0 if data is None else len(data),
    )
