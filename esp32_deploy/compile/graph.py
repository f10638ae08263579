"""Reads a .tflite into a small typed graph: tensors, operators, quantization. Only this module uses flatbuffers.

It reads any model with one subgraph. `servable.check` decides whether the model can be compiled.
"""

import struct
from dataclasses import dataclass, field
from functools import cached_property
from math import isqrt, prod
from pathlib import Path
from typing import Any

import numpy as np

from esp32_deploy.errors import DeployError
from esp32_deploy.pixels import INT8_OFFSET

CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")

# Types of the constants of a supported model. For other types only the size is read.
ARRAY_TYPES = {"INT8": "<i1", "UINT8": "<u1", "INT32": "<i4", "INT64": "<i8", "FLOAT32": "<f4"}

# A longer name, which a damaged file may have, would fill the screen.
LONGEST_NAME = 200

# The options table of each operator in the file.
OPTIONS_TABLES = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "ADD": "AddOptions",
    "MUL": "MulOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "SOFTMAX": "SoftmaxOptions",
}

# Errors that the flatbuffers reader raises if offsets or lengths in a file are wrong. The reader checks nothing itself.
READER_ERRORS = (
    struct.error,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
    AssertionError,
)


class GraphError(DeployError):
    """The file is not a TensorFlow Lite model, is damaged, or holds an unsupported model."""


class StreamError(GraphError):
    """The streaming compiler does not support the model, but TensorFlow Lite Micro may run it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The model cannot be streamed: {reason}")


@dataclass(frozen=True)
class Tensor:
    """One tensor: shape in NHWC order, type such as INT8, scales and zero points (empty for float)."""

    name: str
    shape: tuple[int, ...]
    type: str
    scales: tuple[float, ...]
    """float32 values: one for the tensor, or one per index of `quantized_axis`."""
    zero_points: tuple[int, ...]
    constant_bytes: int
    quantized_axis: int = 0
    is_dynamic: bool = False
    """Whether a dimension other than the first, the batch, has no fixed size. An open batch is one image."""
    data: np.ndarray | None = field(default=None, repr=False, compare=False)
    """A constant's values, with the tensor's shape; None for activations and for types not in ARRAY_TYPES."""
    index: int = -1
    """Position in the file's list of tensors. It identifies the tensor."""

    @property
    def is_constant(self) -> bool:
        """Whether the file holds the tensor's values, as for weights and biases. Activations are computed."""
        return self.constant_bytes > 0

    @property
    def is_scalar(self) -> bool:
        """Whether the tensor is a constant with a single value."""
        return self.data is not None and self.data.size == 1

    @property
    def zero_byte(self) -> int:
        """The zero point of an INT8 or UINT8 tensor as an unsigned byte: int8 + 128."""
        return self.zero_points[0] + (0 if self.type == "UINT8" else INT8_OFFSET)


@dataclass(frozen=True)
class Options:
    """An operator's options. Options that an operator does not have keep these defaults."""

    padding: str = "VALID"
    stride: tuple[int, int] = (1, 1)
    """Rows, columns."""
    dilation: tuple[int, int] = (1, 1)
    window: tuple[int, int] = (1, 1)
    """Rows and columns of a pooling window."""
    activation: str = "NONE"
    keep_dims: bool = False
    beta: float = 1.0
    depth_multiplier: int = 0
    """Output channels of a depthwise convolution for each input channel."""


@dataclass(frozen=True)
class Operator:
    """One operator with its tensors. An omitted input is None."""

    name: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Options = Options()
    number: int = 0
    """Position in the file's list of operators."""

    @property
    def planes(self) -> tuple[Tensor | None, ...]:
        """The inputs that are activations. The first one, and for ADD and MUL the second one; single constants not."""
        if self.name not in ("ADD", "MUL"):
            return self.inputs[:1]
        return tuple(tensor for tensor in self.inputs[:2] if tensor is None or not tensor.is_scalar)

    @property
    def place(self) -> str:
        """Where the operator is, for error messages."""
        return f"{self.name} (operator {self.number}, {self.outputs[0].name!r})"

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image. Counted for convolutions, dense layers and matrix products, else 0."""
        if self.name == "BATCH_MATMUL" and self.inputs[0] is not None and self.inputs[1] is not None:
            # (M, K) times (K, N) gives (M, N). Either factor may be transposed.
            sizes = prod(self.inputs[0].shape) * prod(self.inputs[1].shape), prod(self.outputs[0].shape)
            return sizes[1] * isqrt(sizes[0] // sizes[1]) if sizes[1] else 0
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
    """A model's only subgraph, with its operators in the order of execution."""

    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    file_bytes: int

    @cached_property
    def operator_names(self) -> list[str]:
        """The names of all operators, sorted, each once. A board's interpreter must register them."""
        return sorted({operator.name for operator in self.operators})

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return sum(operator.macs for operator in self.operators)

    @property
    def constant_bytes(self) -> int:
        """Bytes of all constant inputs of the operators, each tensor counted once."""
        tensors = {tensor.index: tensor for operator in self.operators for tensor in operator.inputs if tensor}
        return sum(tensor.constant_bytes for tensor in tensors.values())


def read(path: Path) -> Graph:
    """Reads a .tflite file. Raises GraphError if it is not one, is damaged, or does not have exactly one subgraph."""
    return parse(path.read_bytes(), str(path))


def parse(content: bytes, name: str) -> Graph:
    """Reads a .tflite from memory. `name` appears in error messages. Raises GraphError as `read` does."""
    if content[4:8] != b"TFL3":
        raise GraphError(f"{name} is not a TensorFlow Lite model.")
    try:
        return _Reader(content, name).graph()
    except GraphError:
        raise
    except READER_ERRORS as error:
        raise GraphError(f"{name} is damaged or incomplete ({error}). Export or copy it again.") from error


class _Reader:
    """Reads the tables of the file. Checks every count before using it."""

    def __init__(self, content: bytes, name: str) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.content = content
        self.name = name
        self.model = schema.Model.GetRootAs(content, 0)
        self.types = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
        self.builtins = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}

    def graph(self) -> Graph:
        subgraphs = self.model.SubgraphsLength()
        if subgraphs != 1:
            raise GraphError(f"{self.name} has {subgraphs} subgraphs. Only models with one can be read.")
        subgraph = self.model.Subgraphs(0)
        tensors = [self.tensor(subgraph, index) for index in range(self.count(subgraph.TensorsLength()))]
        operators = [self.operator(subgraph, index, tensors) for index in range(self.count(subgraph.OperatorsLength()))]
        return Graph(
            operators=tuple(operators),
            inputs=tuple(_pick(tensors, index) for index in _integers(subgraph.InputsAsNumpy())),
            outputs=tuple(_pick(tensors, index) for index in _integers(subgraph.OutputsAsNumpy())),
            file_bytes=len(self.content),
        )

    def count(self, length: int) -> int:
        """The length of a vector. Raises ValueError if the file is too small for it, at four bytes per entry."""
        if length * 4 > len(self.content):
            raise ValueError(f"a list of {length} entries in a file of {len(self.content)} bytes")
        return length

    def tensor(self, subgraph: Any, index: int) -> Tensor:
        tensor = subgraph.Tensors(index)
        name = tensor.Name().decode()[:LONGEST_NAME]
        shape = _integers(tensor.ShapeAsNumpy())
        if any(extent < 0 for extent in shape):
            raise ValueError(f"tensor {name} has the shape {shape}")
        constant = self.constant(tensor.Buffer())
        quantization = tensor.Quantization()
        type_name = self.types[tensor.Type()]
        return Tensor(
            name=name,
            shape=shape,
            type=type_name,
            scales=() if quantization is None else _floats(quantization.ScaleAsNumpy()),
            zero_points=() if quantization is None else _integers(quantization.ZeroPointAsNumpy()),
            constant_bytes=len(constant),
            quantized_axis=0 if quantization is None else int(quantization.QuantizedDimension()),
            is_dynamic=any(extent < 0 for extent in _integers(tensor.ShapeSignatureAsNumpy())[1:]),
            data=_array(constant, type_name, shape, name),
            index=index,
        )

    def constant(self, index: int) -> bytes:
        if not 0 <= index < self.model.BuffersLength():
            raise ValueError(f"buffer {index} is missing")
        buffer = self.model.Buffers(index)
        if buffer.Offset() > 1:  # models over 2 GB store their constants after the tables
            raise GraphError(f"{self.name} keeps its constants outside the tables. Export it as a plain .tflite.")
        length = buffer.DataLength()
        if length > len(self.content):
            raise ValueError(f"a constant of {length} bytes in a file of {len(self.content)} bytes")
        return buffer.DataAsNumpy().tobytes() if length else b""

    def operator(self, subgraph: Any, index: int, tensors: list[Tensor]) -> Operator:
        operator = subgraph.Operators(index)
        code_index = operator.OpcodeIndex()
        if not 0 <= code_index < self.model.OperatorCodesLength():
            raise ValueError(f"operator code {code_index} is missing")
        code = self.model.OperatorCodes(code_index)
        name = self.builtins[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs, outputs = _integers(operator.InputsAsNumpy()), _integers(operator.OutputsAsNumpy())
        if (name in CONVOLUTIONS and len(inputs) < 2) or not outputs:
            raise ValueError(f"{name} has {len(inputs)} inputs and {len(outputs)} outputs")
        return Operator(
            name=name,
            inputs=tuple(_pick(tensors, tensor) if tensor >= 0 else None for tensor in inputs),
            outputs=tuple(_pick(tensors, tensor) for tensor in outputs),
            options=self.options(name, operator),
            number=index,
        )

    def options(self, name: str, operator: Any) -> Options:
        table_name = OPTIONS_TABLES.get(name)
        union = operator.BuiltinOptions()
        if table_name is None or union is None:
            return Options()
        expected = getattr(self.schema.BuiltinOptions, table_name)
        if operator.BuiltinOptionsType() not in (0, expected):
            raise ValueError(f"{name} carries the options of another operator")
        table = getattr(self.schema, table_name)()
        table.Init(union.Bytes, union.Pos)
        return Options(**_option_values(self.schema, table))


def _option_values(schema: Any, table: Any) -> dict[str, Any]:
    """The fields of an options table, by their names in Options."""
    values: dict[str, Any] = {}
    if hasattr(table, "Padding"):
        values["padding"] = _member(schema.Padding, table.Padding())
    if hasattr(table, "StrideH"):
        values["stride"] = (table.StrideH(), table.StrideW())
    if hasattr(table, "DilationHFactor"):
        values["dilation"] = (table.DilationHFactor(), table.DilationWFactor())
    if hasattr(table, "FilterHeight"):
        values["window"] = (table.FilterHeight(), table.FilterWidth())
    if hasattr(table, "FusedActivationFunction"):
        values["activation"] = _member(schema.ActivationFunctionType, table.FusedActivationFunction())
    if hasattr(table, "KeepDims"):
        values["keep_dims"] = bool(table.KeepDims())
    if hasattr(table, "DepthMultiplier"):
        values["depth_multiplier"] = table.DepthMultiplier()
    if hasattr(table, "Beta"):
        values["beta"] = float(table.Beta())
    return values


def _member(enumeration: Any, value: int) -> str:
    for name, number in vars(enumeration).items():
        if isinstance(number, int) and number == value:
            return name
    raise ValueError(f"{enumeration.__name__} {value} is unknown")


def _integers(vector: Any) -> tuple[int, ...]:
    # The reader returns 0 for an absent vector.
    return () if isinstance(vector, int) else tuple(int(value) for value in vector)


def _floats(vector: Any) -> tuple[float, ...]:
    return () if isinstance(vector, int) else tuple(float(value) for value in vector)


def _pick(tensors: list[Tensor], index: int) -> Tensor:
    if not 0 <= index < len(tensors):
        raise ValueError(f"tensor {index} is missing")
    return tensors[index]


def _array(constant: bytes, type_name: str, shape: tuple[int, ...], name: str) -> np.ndarray | None:
    if not constant or type_name not in ARRAY_TYPES:
        return None
    values = np.frombuffer(constant, ARRAY_TYPES[type_name])
    if values.size != prod(shape):
        raise ValueError(f"tensor {name} of shape {shape} has {values.size} values")
    return values.reshape(shape)
