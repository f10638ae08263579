import numpy as np
import pytest
from tiny_models import TinyModel, attentive_grid

from esp32_deploy.compile import graph, servable
from esp32_deploy.compile.lower import LOWERINGS, lower
from esp32_deploy.compile.schedule import plan

FIXTURES = (
    "classifier_035_96",
    "classifier_035_96_with_pads",
    "classifier_100_96",
    "classifier_100_160",
    "fomo_035_96",
)


def chain():
    model = TinyModel((1, 9, 8, 3))
    first = model.convolution(0, 4, (3, 3), (2, 2), activation="RELU6", output=(6 / 255, -128))
    wide = model.convolution(first, 12, activation="RELU")
    narrow = model.convolution(model.convolution(wide, 1, (3, 3), depthwise=True), 4)
    added = model.add(first, narrow)
    pooled = model.pool("MAX", model.pad(added, (0, 1), (1, 0)), (2, 2), (1, 1))
    model.softmax(model.dense(model.reshape(model.mean(pooled), (1, 4)), 3))
    return model


def refusal(model, *outputs):
    with pytest.raises(graph.GraphError) as caught:
        servable.check(graph.parse(model.content(*outputs), "model.tflite"))
    return str(caught.value)


@pytest.mark.parametrize("name", FIXTURES)
def test_real_models_are_supported(shared_data, name):
    servable.check(graph.read(shared_data / "models" / f"{name}.tflite"))


def test_a_model_with_nine_operators_is_supported():
    model = graph.parse(chain().content(), "model.tflite")
    servable.check(model)
    assert len(model.operator_names) == 9


def test_every_supported_operator_can_be_lowered():
    assert set(LOWERINGS) == set(servable.CHECKS)


def test_a_float_model_with_channels_first_is_refused(shared_data):
    with pytest.raises(graph.GraphError, match=r"channels first \(NCHW\)\. .*onnx2tf.*in float.*int8"):
        servable.check(graph.read(shared_data / "seed" / "model.tflite"))


def test_a_float_model_is_refused_with_the_remedy():
    model = TinyModel((1, 8, 8, 3), kind="FLOAT32")
    model.pool("MAX", 0, (2, 2), (2, 2))
    assert "input is FLOAT32, not INT8 or UINT8. Export the model with full int8 quantization" in refusal(model)


def test_float_convolutions_between_byte_ends_are_refused_with_the_export_to_choose():
    model = TinyModel((1, 9, 8, 3))
    floats = model.operator("DEQUANTIZE", [0], model.tensor((1, 9, 8, 3), kind="FLOAT32"))
    model.convolution(floats_with_scale(model, floats), 4)
    message = refusal(model)
    assert message.startswith(
        "The model computes in FLOAT32, although its weights are INT8. Export the model with full"
    )
    assert "In Teachable Machine choose Export Model > TensorFlow Lite > Quantized" in message


def floats_with_scale(model, tensor):
    model.tensors[tensor].quantization = model.tensors[0].quantization
    return tensor


def test_an_int8_network_with_float_ends_is_refused_with_the_converter_options():
    model = TinyModel((1, 9, 8, 3), kind="FLOAT32")
    model.convolution(model.quantize(0, (1 / 255, -128)), 4)
    assert refusal(model) == (
        "The model computes in INT8, but takes FLOAT32. Export it again with converter.inference_input_type = "
        "converter.inference_output_type = tf.int8 (or tf.uint8)."
    )


def test_a_network_in_the_older_uint8_quantization_is_refused():
    model = TinyModel((1, 9, 8, 3), kind="UINT8", zero_point=0)
    model.convolution(0, 4)
    assert "The model computes in UINT8, the quantization of TensorFlow 1" in refusal(model)


def test_uint8_is_only_for_the_ends():
    model = TinyModel((1, 8, 8, 3), kind="UINT8", zero_point=0)
    model.pool("MAX", 0, (2, 2), (2, 2))
    assert "'tensor 0' is UINT8, not INT8" in refusal(model)


def test_a_zero_point_outside_uint8_is_refused():
    model = TinyModel((1, 8, 8, 3), kind="UINT8", zero_point=-1)
    model.convolution(model.quantize(0, (1 / 255, -128)), 4)
    assert "has a zero point outside uint8" in refusal(model)


def test_a_change_of_scale_that_does_not_fit_32_bits_is_refused():
    model = TinyModel((1, 8, 8, 3))
    model.quantize(0, (1e-12, 0))
    assert "the ratio of its scales 3.92e+09 is too large" in refusal(model)


def test_an_unknown_operator_is_named_with_its_place():
    model = TinyModel((1, 4, 4, 3))
    model.operator("TRANSPOSE", [0, model.constant(np.array([0, 2, 1, 3]))], model.tensor((1, 4, 4, 3), 0.1, 0))
    assert "channels first" in refusal(model)
    model = chain()
    model.codes[4].builtinCode = model.codes[4].deprecatedBuiltinCode = 41  # SUB
    assert refusal(model).startswith(
        "The model cannot be streamed: SUB (operator 4, 'tensor 13') is not supported. Supported are: CONV_2D,"
    )
    with pytest.raises(graph.StreamError):
        servable.check(graph.parse(model.content(), "model.tflite"))


def test_dilation_is_refused():
    model = TinyModel((1, 8, 8, 3))
    model.convolution(0, 2, (3, 3))
    model.operators[0].builtinOptions.dilationHFactor = 2
    assert "dilation (2, 1). Only dilation 1 is supported" in refusal(model)


def test_a_batch_of_two_is_refused():
    model = chain()
    model.tensors[0].shape = [2, 9, 8, 3]
    assert "Export the model for one image, as with batch_size=1 in Keras' Input" in refusal(model)


def test_an_open_batch_is_one_image():
    servable.check(graph.parse(chain().open_batch().content(), "model.tflite"))


def test_other_open_dimensions_are_refused_with_the_remedy():
    model = chain()
    model.tensors[0].shapeSignature = [-1, -1, -1, 3]
    assert "without a fixed size. Export the model for images of one size, as with Input((96, 96, 3)" in refusal(model)


def test_a_wrong_output_shape_is_refused():
    model = TinyModel((1, 8, 8, 3))
    model.convolution(0, 2, (3, 3))
    model.tensors[-1].shape = [1, 7, 8, 2]
    assert "has the output shape (1, 7, 8, 2). Its inputs give (1, 8, 8, 2)" in refusal(model)


def test_reading_a_tensor_before_it_is_computed_is_refused():
    model = chain()
    model.operators[1].inputs[0] = len(model.tensors) - 1
    assert "which no operator before it computes" in refusal(model)


def test_adding_a_constant_plane_is_refused_by_name():
    assert refusal(attentive_grid()) == (
        "The model cannot be streamed: ADD (operator 12, 'tensor 37') adds the constant plane 'tensor 36' of shape "
        "(1, 8, 8, 8). Only computed planes can be added."
    )


def test_reading_a_constant_plane_is_refused_by_name():
    model = TinyModel((1, 6, 6, 3))
    plane = model.constant_plane((1, 6, 6, 3))
    model.convolution(0, 3)
    model.convolution(plane, 3)
    assert "reads the constant plane 'tensor 1' of shape (1, 6, 6, 3)" in refusal(model)


def test_multiplying_two_planes_is_refused():
    model = TinyModel((1, 6, 6, 3))
    model.operator("MUL", [0, model.convolution(0, 3)], model.tensor((1, 6, 6, 3), 0.1, 0))
    assert "multiplies two planes. Only a plane and a single constant can be multiplied" in refusal(model)


@pytest.mark.parametrize(
    ("scales", "message"),
    [((), "INT8 with 0 scales. INT8 with one scale is expected"), ((1e6,), "the ratio of its scales 3.92e+05 is too")],
)
def test_constants_that_cannot_be_multiplied_are_refused(scales, message):
    model = TinyModel((1, 6, 6, 3))
    constant = model.scalar(7, scales[0] if scales else None)
    model.with_scalar("MUL", 0, constant, (0.01, 0))
    assert message in refusal(model)


def test_an_operator_of_constants_is_refused():
    model = TinyModel((1, 6, 6, 3))
    model.operator("ADD", [model.scalar(1, 1), model.scalar(2, 1)], model.tensor((1, 1), 1, 0))
    assert "reads only constants" in refusal(model)


@pytest.mark.parametrize(
    ("axes", "is_served"), [((1, 2), True), ((-3, -2), True), ((1, 6), False), ((1, 65282), False)]
)
def test_axes_outside_the_image_are_refused(axes, is_served):
    model = TinyModel((1, 6, 6, 3))
    model.mean(model.convolution(0, 3))
    model.buffers[-1].data = np.array(axes, "<i4").view(np.uint8)
    if is_served:
        servable.check(graph.parse(model.content(), "model.tflite"))
    else:
        assert f"averages axes {list(axes)}. Only rows and columns" in refusal(model)


def test_an_output_before_the_last_operator_is_refused():
    model = chain()
    assert refusal(model, model.operators[3].outputs[0]) == (
        "The model cannot be streamed: operators follow the one that computes its output 'tensor 12'."
    )


def test_a_long_name_is_cut_in_messages():
    model = chain()
    model.tensors[0].name = b"x" * 5000
    model.tensors[0].type = 0
    assert len(refusal(model)) < 500


def test_a_model_whose_output_is_its_input_is_refused():
    model = chain()
    assert refusal(model, 0) == "No operator computes the model's output 'tensor 0'. Export the model again."
    model.operators, model.codes = [], []
    assert refusal(model, 0) == "No operator computes the model's output 'tensor 0'. Export the model again."


@pytest.mark.parametrize("multiplier", [0, 2, 3])
def test_a_depth_multiplier_that_does_not_fit_the_filters_is_refused(multiplier):
    model = chain()
    model.operators[2].builtinOptions.depthMultiplier = multiplier
    assert f"has the depth multiplier {multiplier}, but 12 filters for 12 channels. Export" in refusal(model)


def test_two_outputs_are_refused():
    model = chain()
    assert "has 2 outputs" in refusal(model, model.operators[0].outputs[0], model.operators[-1].outputs[0])


def damaged(content, generator):
    if generator.random() < 0.3:
        return content[: generator.integers(8, len(content))]
    changed = bytearray(content)
    for place in generator.integers(8, len(content), generator.integers(1, 9)):
        changed[place] = generator.choice([0, 1, 127, 128, 255, generator.integers(256)])
    return bytes(changed)


def test_damaged_files_are_refused_with_a_graph_error_or_compiled():
    content, generator = chain().content(), np.random.default_rng(5)
    refused = compiled = 0
    for _ in range(1000):
        try:
            model = graph.parse(damaged(content, generator), "model.tflite")
            servable.check(model)
            plan(lower(model))
            compiled += 1
        except graph.GraphError as error:
            assert str(error).endswith(".")
            refused += 1
    assert refused > 300
    assert compiled > 50


def test_damaged_real_models_are_refused_with_a_graph_error_or_read(shared_data):
    content, generator = (shared_data / "models" / "fomo_035_96.tflite").read_bytes(), np.random.default_rng(6)
    for _ in range(100):
        try:
            servable.check(graph.parse(damaged(content, generator), "model.tflite"))
        except graph.GraphError as error:
            assert str(error).endswith(".")
