"""Small int8 .tflite models with any operators and shapes, written with the builder of the file format."""

from dataclasses import dataclass, field
from math import prod

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from esp32_deploy.pixels import bytes_from_int8
from esp32_deploy.verify.tflm import ARENA_BYTES

VERSION = 3
OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "ADD": "AddOptions",
    "MUL": "MulOptions",
    "PAD": "PadOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "RESHAPE": "ReshapeOptions",
    "SOFTMAX": "SoftmaxOptions",
    "QUANTIZE": "QuantizeOptions",
    "SHAPE": "ShapeOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "PACK": "PackOptions",
    "TRANSPOSE": "TransposeOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
}


@dataclass
class TinyModel:
    """A model under construction. Each method adds an operator and returns the number of its output tensor."""

    shape: tuple[int, ...]
    seed: int = 0
    scale: float = 1 / 255
    zero_point: int = -128
    kind: str = "INT8"
    """Type of the input."""
    tensors: list = field(default_factory=list)
    operators: list = field(default_factory=list)
    codes: list = field(default_factory=list)
    buffers: list = field(default_factory=list)

    def __post_init__(self):
        self.generator = np.random.default_rng(self.seed)
        self.buffers.append(schema.BufferT())
        self.tensor(self.shape, self.scale, self.zero_point, kind=self.kind)

    def tensor(self, shape, scale=None, zero_point=0, data=None, kind="INT8", axis=0):
        tensor = schema.TensorT()
        tensor.name = f"tensor {len(self.tensors)}".encode()
        tensor.shape = list(shape)
        tensor.type = getattr(schema.TensorType, kind)
        tensor.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            self.buffers.append(buffer)
            tensor.buffer = len(self.buffers) - 1
        if scale is not None:
            quantization = schema.QuantizationParametersT()
            quantization.scale = [float(value) for value in np.atleast_1d(scale)]
            quantization.zeroPoint = [zero_point] * len(quantization.scale)
            quantization.quantizedDimension = axis
            tensor.quantization = quantization
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def shape_of(self, tensor):
        return tuple(self.tensors[tensor].shape)

    def scale_of(self, tensor):
        return self.tensors[tensor].quantization.scale[0], self.tensors[tensor].quantization.zeroPoint[0]

    def operator(self, name, inputs, output, **options):
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        # LiteRT knows no RESHAPE of a later version than 1, TensorFlow Lite Micro takes any
        code.version = 1 if name == "RESHAPE" else VERSION
        self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.codes) - 1
        operator.inputs, operator.outputs = inputs, [output]
        if name in OPTIONS:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, OPTIONS[name])
            operator.builtinOptions = getattr(schema, OPTIONS[name] + "T")()
        for key, value in options.items():
            assert hasattr(operator.builtinOptions, key), key
            setattr(operator.builtinOptions, key, value)
        self.operators.append(operator)
        return output

    def constant(self, values):
        return self.tensor(values.shape, data=values.astype(np.int32), kind="INT32")

    def convolution(
        self,
        source,
        channels,
        kernel=(1, 1),
        stride=(1, 1),
        padding="SAME",
        activation="NONE",
        *,
        depthwise=False,
        per_channel=True,
        bias=True,
        output=(0.03, 5),
    ):
        _, height, width, inputs = self.shape_of(source)
        outputs = inputs * channels if depthwise else channels
        shape = (1, *kernel, outputs) if depthwise else (outputs, *kernel, inputs)
        weights = self.generator.integers(-127, 128, shape).astype(np.int8)
        cells = prod(kernel) * (1 if depthwise else inputs)
        base = output[0] * 200 / (self.scale_of(source)[0] * 127 * 90 * cells**0.5)
        scales = base * self.generator.uniform(0.4, 1.6, outputs if per_channel else 1)
        weights_tensor = self.tensor(shape, scales.astype(np.float32), 0, weights, axis=3 if depthwise else 0)
        biases = self.generator.integers(-3000, 3000, outputs)
        tensors = [source, weights_tensor, self.constant(biases) if bias else -1]
        target = self.tensor((1, *outputs_of((height, width), kernel, stride, padding), outputs), *output)
        name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        extra = {"depthMultiplier": channels} if depthwise else {}
        return self.operator(name, tensors, target, **window_options(stride, padding, activation), **extra)

    def dense(self, source, channels, *, per_channel=True, output=(0.05, -3)):
        inputs = prod(self.shape_of(source))
        weights = self.generator.integers(-127, 128, (channels, inputs)).astype(np.int8)
        base = output[0] * 200 / (self.scale_of(source)[0] * 127 * 90 * inputs**0.5)
        scales = base * self.generator.uniform(0.4, 1.6, channels if per_channel else 1)
        weights_tensor = self.tensor((channels, inputs), scales.astype(np.float32), 0, weights)
        target = self.tensor((1, channels), *output)
        return self.operator("FULLY_CONNECTED", [source, weights_tensor, -1], target)

    def add(self, first, second, activation="NONE", output=(0.05, 3)):
        target = self.tensor(self.shape_of(first), *output)
        code = getattr(schema.ActivationFunctionType, activation)
        return self.operator("ADD", [first, second], target, fusedActivationFunction=code)

    def scalar(self, value, scale, zero_point=0):
        return self.tensor((), scale, zero_point, np.array(value, np.int8))

    def with_scalar(self, name, source, scalar, output, activation="NONE", *, is_first=False):
        """ADD or MUL of a plane and a constant, in this order or the other one."""
        code = getattr(schema.ActivationFunctionType, activation)
        operands = [scalar, source] if is_first else [source, scalar]
        target = self.tensor(self.shape_of(source), *output)
        return self.operator(name, operands, target, fusedActivationFunction=code)

    def pad(self, source, rows, columns):
        paddings = np.array([(0, 0), rows, columns, (0, 0)])
        _, height, width, channels = self.shape_of(source)
        target = self.tensor((1, height + sum(rows), width + sum(columns), channels), *self.scale_of(source))
        return self.operator("PAD", [source, self.constant(paddings)], target)

    def pool(self, kind, source, kernel, stride, padding="VALID", activation="NONE"):
        _, height, width, channels = self.shape_of(source)
        shape = (1, *outputs_of((height, width), kernel, stride, padding), channels)
        target = self.tensor(shape, *self.scale_of(source))
        options = window_options(stride, padding, activation)
        window = {"filterHeight": kernel[0], "filterWidth": kernel[1]}
        return self.operator(f"{kind}_POOL_2D", [source], target, **options, **window)

    def mean(self, source, keep_dims=True, output=(0.02, 4)):
        channels = self.shape_of(source)[3]
        target = self.tensor((1, 1, 1, channels) if keep_dims else (1, channels), *output)
        return self.operator("MEAN", [source, self.constant(np.array([1, 2]))], target, keepDims=keep_dims)

    def reshape(self, source, shape):
        target = self.tensor(shape, *self.scale_of(source))
        return self.operator("RESHAPE", [source, self.constant(np.array(shape))], target, newShape=list(shape))

    def flatten_open_batch(self, source):
        """A Flatten as converters write it for a batch without a fixed size: they compute the shape from the input."""
        _, height, width, channels = self.shape_of(source)
        count = height * width * channels
        shape = self.operator("SHAPE", [source], self.tensor((4,), kind="INT32"))
        first, end = self.constant(np.array([0])), self.constant(np.array([1]))
        batch = self.tensor((), kind="INT32")
        self.operator("STRIDED_SLICE", [shape, first, end, end], batch, shrinkAxisMask=1)
        pair = self.tensor((2,), kind="INT32")
        self.operator("PACK", [batch, self.constant(np.array(count))], pair, valuesCount=2)
        target = self.tensor((1, count), *self.scale_of(source))
        return self.operator("RESHAPE", [source, pair], target)

    def quantize(self, source, output, kind="INT8"):
        return self.operator("QUANTIZE", [source], self.tensor(self.shape_of(source), *output, kind=kind))

    def sigmoid(self, source):
        return self.operator("LOGISTIC", [source], self.tensor(self.shape_of(source), 1 / 256, -128))

    def transpose(self, source, axes):
        target = self.tensor([self.shape_of(source)[axis] for axis in axes], *self.scale_of(source))
        return self.operator("TRANSPOSE", [source, self.constant(np.array(axes))], target)

    def product(self, first, second, output, *, adjoint=False):
        """The matrix product of (1, M, K), or (1, K, M) if adjoint, and (1, K, N)."""
        target = self.tensor((1, self.shape_of(first)[2 if adjoint else 1], self.shape_of(second)[2]), *output)
        return self.operator("BATCH_MATMUL", [first, second], target, adjX=adjoint, adjY=False)

    def constant_plane(self, shape):
        return self.tensor(shape, 0.01, 0, self.generator.integers(-127, 128, shape).astype(np.int8))

    def softmax(self, source, beta=1.0):
        target = self.tensor(self.shape_of(source), 1 / 256, -128)
        return self.operator("SOFTMAX", [source], target, beta=beta)

    def open_batch(self):
        """Leaves the batch of all activations open, as Keras does."""
        for tensor in self.tensors:
            if tensor.buffer == 0 and tensor.shape and tensor.type != schema.TensorType.INT32:
                tensor.shapeSignature = [-1, *tensor.shape[1:]]
        return self

    def content(self, *outputs):
        """The bytes of the file. `outputs` are the model's output tensors; the default is that of the last operator."""
        model, graph = schema.ModelT(), schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = [0], list(outputs) or list(self.operators[-1].outputs)
        model.version, model.operatorCodes, model.buffers = VERSION, self.codes, self.buffers
        model.subgraphs = [graph]
        return pack(model)


def pack(model):
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def with_outputs(content, tensors):
    """The same model with other output tensors, so that TensorFlow Lite Micro returns inner activations."""
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    model.subgraphs[0].outputs = list(tensors)
    return pack(model)


def run_tflm(content, image):
    """All outputs of TensorFlow Lite Micro for one int8 image (1, height, width, channels).

    A model with a UINT8 input gets the values + 128.
    """
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content, arena_size=ARENA_BYTES)
    takes_bytes = interpreter.get_input_details(0)["dtype"] == np.uint8
    interpreter.set_input(bytes_from_int8(image) if takes_bytes else image, 0)
    interpreter.invoke()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    return [interpreter.get_output(number) for number in range(len(model.subgraphs[0].outputs))]


def outputs_of(extents, kernel, stride, padding):
    if padding == "SAME":
        return [-(-extent // step) for extent, step in zip(extents, stride, strict=True)]
    return [(extent - size) // step + 1 for extent, size, step in zip(extents, kernel, stride, strict=True)]


def window_options(stride, padding, activation):
    return {
        "padding": getattr(schema.Padding, padding),
        "strideH": stride[0],
        "strideW": stride[1],
        "fusedActivationFunction": getattr(schema.ActivationFunctionType, activation),
    }


def mobilenet(width, size, classes=4, cut=7, is_grid=False, channels=3):
    """A MobileNetV2 with random weights, cut before its block `cut`, with this project's classifier or grid head."""
    model = TinyModel((1, size, size, channels))
    relu6 = {"activation": "RELU6", "output": (6 / 255, -128)}

    def scaled(count):
        divisible = max(8, int(count * width + 4) // 8 * 8)
        return divisible + 8 if divisible < 0.9 * count * width else divisible

    rows = model.convolution(0, scaled(32), (3, 3), (2, 2), **relu6)
    blocks = [(1, 16, 1), (6, 24, 2), (6, 24, 1), (6, 32, 2), (6, 32, 1), (6, 32, 1)]
    for expansion, count, stride in blocks[: cut - 1]:
        source, inputs = rows, model.shape_of(rows)[3]
        if expansion > 1:
            rows = model.convolution(rows, inputs * expansion, **relu6)
        rows = model.convolution(rows, 1, (3, 3), (stride, stride), depthwise=True, **relu6)
        rows = model.convolution(rows, scaled(count))
        if stride == 1 and scaled(count) == inputs:
            rows = model.add(source, rows)
    head = model.convolution(rows, 32, activation="RELU", output=(0.03, -128))
    if is_grid:
        model.softmax(model.convolution(head, classes, output=(0.05, 0)))
        return model
    logits = model.convolution(model.mean(head, output=(0.01, -128)), classes, output=(0.05, 0))
    model.softmax(model.reshape(logits, (1, classes)))
    return model


def attentive_grid(size=32, classes=3, channels=8):
    """A grid network with self-attention, made of the operators of an exported block/model/attention.py."""
    model = mobilenet(0.35, size, channels, cut=4, is_grid=True)
    # The softmax of the grid is removed. The convolution before it gives the features for the attention.
    del model.operators[-1], model.codes[-1]
    features = model.operators[-1].outputs[0]
    _, rows, columns, _ = model.shape_of(features)
    cells = rows * columns

    def across(source):
        return model.reshape(model.transpose(source, (0, 3, 1, 2)), (1, channels, cells))

    placed = model.add(features, model.constant_plane(model.shape_of(features)))
    queries, keys, values = (across(model.convolution(placed, channels)) for _ in range(3))
    weights = model.softmax(model.product(queries, keys, (0.1, 0), adjoint=True))
    seen = model.product(values, weights, (0.03, 0))
    planes = model.transpose(model.reshape(seen, (1, channels, rows, columns)), (0, 2, 3, 1))
    model.softmax(model.convolution(model.add(placed, model.convolution(planes, channels)), classes + 1))
    return model


def random_model(seed):
    """A random network of supported operators, with random sizes, windows, scales and activations."""
    generator = np.random.default_rng(seed)

    def whole(low, high):
        return int(generator.integers(low, high))

    def chance(probability):
        return bool(generator.random() < probability)

    def options():
        output = (float(generator.choice([6 / 255, 0.03, 0.07])), int(generator.choice([-128, -128, 0, 7, -100])))
        activation = str(generator.choice(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]))
        return {"activation": activation, "output": output, "per_channel": chance(0.8)}

    def window(shape):
        square = whole(1, 3)
        kernel, stride = (
            ((3, 3), (square, square)) if chance(0.5) else ((whole(1, 6), whole(1, 6)), (whole(1, 4), whole(1, 4)))
        )
        must_pad = kernel[0] > shape[1] or kernel[1] > shape[2]
        return kernel, stride, "SAME" if must_pad or chance(0.7) else "VALID"

    def residual(model, rows):
        shape = model.shape_of(rows)
        wide = model.convolution(rows, shape[3] + whole(1, 30), **options())
        narrow = model.convolution(model.convolution(wide, whole(1, 3), *window(shape), depthwise=True), shape[3])
        return model.add(rows, narrow) if model.shape_of(narrow) == shape else narrow

    def pool(model, rows):
        return model.pool(str(generator.choice(["AVERAGE", "MAX"])), rows, *window(model.shape_of(rows)))

    steps = (
        lambda model, rows: model.convolution(rows, whole(1, 20), *window(model.shape_of(rows)), **options()),
        lambda model, rows: model.convolution(
            rows, whole(1, 3), *window(model.shape_of(rows)), depthwise=True, **options()
        ),
        lambda model, rows: model.convolution(rows, whole(1, 20), **options()),
        lambda model, rows: model.pad(rows, (whole(0, 3), whole(0, 3)), (whole(0, 3), whole(0, 3))),
        residual,
        residual,
        pool,
    )
    ends = (
        lambda model, rows: model.softmax(rows, float(generator.choice([0.5, 1, 3]))),
        lambda model, rows: model.dense(model.reshape(rows, (1, prod(model.shape_of(rows)))), whole(1, 9)),
        lambda model, rows: model.mean(rows, chance(0.5)),
        lambda model, rows: model.softmax(model.reshape(model.convolution(model.mean(rows), 5), (1, 5))),
    )
    image = (1, whole(4, 20), whole(4, 20), whole(1, 5))
    model = TinyModel(image, seed, float(generator.choice([1 / 255, 1 / 128])), int(generator.choice([-128, 0, -5])))
    rows = 0
    for _ in range(whole(2, 7)):
        rows = steps[whole(0, len(steps))](model, rows)
    ends[whole(0, len(ends))](model, rows)
    return model
