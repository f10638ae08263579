"""Damaged .tflite files for benchmarks/damage.py: bytes, words and cuts of the file, and changes in its tables."""

import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

FIRST_TABLE_BYTE = 8
MOST_BYTES, MOST_WORDS, MOST_CHANGES = 8, 4, 3
ODD_BYTES = (0, 1, 127, 128, 255)
ODD_WORDS = (0, 1, 2, 4, 0xFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)
ODD_EXTENTS = (-(2**31), -1, 0, 1, 2, 3, 5, 7, 255, 4096, 4097, 65536, 2**31 - 1)
ODD_SCALES = (0.0, -1.0, float("nan"), float("inf"), 1e-45, 1e-20, 1e-6, 0.004, 0.1, 1.0, 3.0, 1e6, 3e38)
ODD_POINTS = (-(2**63), -129, -128, -127, -1, 0, 1, 3, 100, 127, 128, 2**31, 2**63 - 1)
ODD_OPTIONS = (-1, 0, 1, 2, 3, 4, 5, 127, 256, 257, 2**31 - 1)
TYPES = tuple(value for value in vars(schema.TensorType).values() if isinstance(value, int))
OPERATORS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "PAD", "AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN")
CODES = tuple(getattr(schema.BuiltinOperator, name) for name in (*OPERATORS, "RESHAPE", "SOFTMAX", "MUL", "QUANTIZE"))

Model = Any
Change = Callable[[Model, random.Random], None]


def damaged(content: bytes, generator: random.Random) -> tuple[str, bytes]:
    """The kind of damage, and the damaged file. Damage by tables gives a well-formed file with wrong facts."""
    kind = generator.choice(("bytes", "words", "cut", "tables", "tables", "tables"))
    changes = {"bytes": _bytes, "words": _words, "cut": _cut, "tables": _tables}
    return kind, changes[kind](content, generator)


def _bytes(content: bytes, generator: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(generator.randint(1, MOST_BYTES)):
        changed[generator.randrange(FIRST_TABLE_BYTE, len(changed))] = generator.choice(
            (*ODD_BYTES, generator.randrange(256))
        )
    return bytes(changed)


def _words(content: bytes, generator: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(generator.randint(1, MOST_WORDS)):
        place = generator.randrange(FIRST_TABLE_BYTE, len(changed) - 4) // 4 * 4
        # offsets and counts of the tables are words
        near = struct.unpack_from("<I", changed, place)[0] + generator.choice((-8, -4, -1, 1, 4, 8))
        struct.pack_into("<I", changed, place, generator.choice((*ODD_WORDS, near % 2**32)))
    return bytes(changed)


def _cut(content: bytes, generator: random.Random) -> bytes:
    start = generator.randrange(FIRST_TABLE_BYTE, len(content))
    if generator.random() < 0.5:
        return content[:start]
    return content[:start] + content[start + 4 * generator.randint(1, 64) :]


def _tables(content: bytes, generator: random.Random) -> bytes:
    for _ in range(20):
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        for _ in range(generator.randint(1, MOST_CHANGES)):
            generator.choice(CHANGES)(model, generator)
        builder = flatbuffers.Builder(len(content))
        try:
            builder.Finish(model.Pack(builder), b"TFL3")
        except (struct.error, TypeError, OverflowError, AssertionError):
            # the builder refuses some numbers before they reach a file
            continue
        return bytes(builder.Output())
    return _bytes(content, generator)


def _tensor(model: Model, generator: random.Random) -> Any:
    return generator.choice(model.subgraphs[0].tensors)


def _operator(model: Model, generator: random.Random) -> Any:
    return generator.choice(model.subgraphs[0].operators or [schema.OperatorT()])


def _replace_one(values: Sequence[Any] | None, odd: Sequence[Any], generator: random.Random) -> list[Any]:
    changed = list(values if values is not None else [])
    if not changed or generator.random() < 0.15:
        changed.append(generator.choice(odd))
    elif generator.random() < 0.1:
        changed.pop()
    else:
        place = generator.randrange(len(changed))
        near = changed[place] + generator.choice((-1, 1)) if isinstance(odd[0], int) else changed[place] * 1.5
        changed[place] = generator.choice((*odd, near, near, near))
    return changed


def _shape(model: Model, generator: random.Random) -> None:
    tensor = _tensor(model, generator)
    tensor.shape = _replace_one(tensor.shape, ODD_EXTENTS, generator)


def _turned_shape(model: Model, generator: random.Random) -> None:
    tensor = _tensor(model, generator)
    tensor.shape = generator.sample(list(tensor.shape), len(tensor.shape))


def _signature(model: Model, generator: random.Random) -> None:
    tensor = _tensor(model, generator)
    tensor.shapeSignature = _replace_one(tensor.shape, (-1, 0, 1, 2**31 - 1), generator)


def _scale(model: Model, generator: random.Random) -> None:
    quantization = _tensor(model, generator).quantization
    if quantization is not None:
        quantization.scale = _replace_one(quantization.scale, ODD_SCALES, generator)


def _zero_point(model: Model, generator: random.Random) -> None:
    quantization = _tensor(model, generator).quantization
    if quantization is not None:
        quantization.zeroPoint = _replace_one(quantization.zeroPoint, ODD_POINTS, generator)


def _quantized_axis(model: Model, generator: random.Random) -> None:
    tensor = _tensor(model, generator)
    if generator.random() < 0.2:
        tensor.quantization = None
    elif tensor.quantization is not None:
        tensor.quantization.quantizedDimension = generator.choice((-1, 0, 1, 2, 3, 4, 2**31 - 1))


def _type(model: Model, generator: random.Random) -> None:
    _tensor(model, generator).type = generator.choice(TYPES)


def _buffer_index(model: Model, generator: random.Random) -> None:
    tensor = _tensor(model, generator)
    tensor.buffer = generator.choice((0, 2**32 - 1, generator.randrange(len(model.buffers))))


def _buffer(model: Model, generator: random.Random) -> None:
    data = generator.choice(model.buffers)
    if data.data is None or generator.random() < 0.2:
        data.data = [generator.randrange(256) for _ in range(generator.choice((1, 4, 16)))]
        return
    content = list(data.data)
    for _ in range(generator.randint(1, 4)):
        content[generator.randrange(len(content))] = generator.choice((*ODD_BYTES, generator.randrange(256)))
    data.data = content[: generator.choice((len(content), len(content), len(content) - 1))]


def _operands(model: Model, generator: random.Random) -> None:
    operator = _operator(model, generator)
    tensors = len(model.subgraphs[0].tensors)
    odd = (-1, -2, tensors, 2**31 - 1, *(generator.randrange(tensors) for _ in range(6)))
    if generator.random() < 0.7:
        operator.inputs = _replace_one(operator.inputs, odd, generator)
    else:
        operator.outputs = _replace_one(operator.outputs, odd, generator)


def _option(model: Model, generator: random.Random) -> None:
    operator = _operator(model, generator)
    fields = vars(operator.builtinOptions) if operator.builtinOptions is not None else {}
    if fields:
        name = generator.choice(list(fields))
        odd: Sequence[Any] = ODD_SCALES if isinstance(fields[name], float) else ODD_OPTIONS
        value = generator.choice(odd)
        setattr(operator.builtinOptions, name, bool(value) if isinstance(fields[name], bool) else value)


def _options_table(model: Model, generator: random.Random) -> None:
    operator, other = _operator(model, generator), _operator(model, generator)
    operator.builtinOptionsType, operator.builtinOptions = other.builtinOptionsType, other.builtinOptions


def _code(model: Model, generator: random.Random) -> None:
    code = generator.choice(model.operatorCodes)
    code.builtinCode = generator.choice(CODES)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)


def _code_index(model: Model, generator: random.Random) -> None:
    _operator(model, generator).opcodeIndex = generator.randrange(len(model.operatorCodes) + 1)


def _order(model: Model, generator: random.Random) -> None:
    operators = list(model.subgraphs[0].operators)
    place = generator.randrange(len(operators))
    change = generator.choice(("drop", "repeat", "swap"))
    if change == "drop":
        del operators[place]
    elif change == "repeat":
        operators.insert(place, operators[place])
    else:
        other = generator.randrange(len(operators))
        operators[place], operators[other] = operators[other], operators[place]
    model.subgraphs[0].operators = operators


def _ends(model: Model, generator: random.Random) -> None:
    subgraph = model.subgraphs[0]
    any_tensor = generator.randrange(len(subgraph.tensors))
    name = generator.choice(("inputs", "outputs"))
    setattr(subgraph, name, generator.choice(([], [any_tensor], [*getattr(subgraph, name), any_tensor], [-1])))


def _name(model: Model, generator: random.Random) -> None:
    odd = (b"", b"\xff\xfe", b"a\nb", b'";\n#error', b"x" * 5000)
    _tensor(model, generator).name = generator.choice(odd)


CHANGES: tuple[Change, ...] = (
    *(_shape, _shape, _turned_shape, _signature, _scale, _scale, _zero_point, _zero_point, _quantized_axis, _type),
    *(_buffer_index, _buffer, _buffer, _operands, _operands, _option, _option, _option, _options_table),
    *(_code, _code_index, _order, _ends, _name),
)
