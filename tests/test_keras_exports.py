"""Models as Keras' users export them: the batch stays open, and the weights are random."""

import json
import re
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from toolchains import toolchain

from block.report import predict
from esp32_deploy.__main__ import main

SIZE = 32


def flattened_sigmoid(keras, x):
    x = keras.layers.MaxPool2D(2)(keras.layers.Conv2D(6, 3, 2, "same", activation="relu")(x))
    return keras.layers.Dense(1, activation="sigmoid")(keras.layers.Flatten()(x))


def pooled_logits(keras, x):
    x = keras.layers.Conv2D(8, 3, 2, "same", activation="relu6")(x)
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.layers.Conv2D(5, 1, kernel_initializer=keras.initializers.RandomNormal(stddev=8))(x)
    return keras.layers.Reshape((5,))(x)


def teachable_machine(keras, x):
    """Inverted residuals of a MobileNetV2, then the two dense layers that Teachable Machine trains."""
    x = keras.layers.Conv2D(8, 3, 2, "same", activation="relu6")(x)
    for stride in (1, 2):
        wide = keras.layers.Conv2D(24, 1, activation="relu6")(x)
        wide = keras.layers.DepthwiseConv2D(3, stride, "same", activation="relu6")(wide)
        narrow = keras.layers.Conv2D(8, 1)(wide)
        x = keras.layers.Add()([x, narrow]) if stride == 1 else narrow
    x = keras.layers.Dense(20, activation="relu")(keras.layers.GlobalAveragePooling2D()(x))
    return keras.layers.Dense(3, use_bias=False, activation="softmax")(x)


# For each network: the type of its ends, the range of its pixels and its labels.
EXPORTS = {
    flattened_sigmoid: ("int8", (0, 1), "no,yes"),
    pooled_logits: ("int8", (0, 255), "a,b,c,d,e"),
    teachable_machine: ("uint8", (-1, 1), "0 apple\n1 banana\n2 red pear\n"),
}


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """The path of the .tflite of each network, in a folder of its own."""
    tensorflow = pytest.importorskip("tensorflow")
    keras = tensorflow.keras
    keras.utils.set_random_seed(3)
    drawn = np.random.default_rng(1).random((8, 1, SIZE, SIZE, 3), dtype=np.float32)
    drawn[:, 0, 0, 0], drawn[:, 0, 0, 1] = 0, 1

    def export(build):
        ends, (low, high), _ = EXPORTS[build]
        image = keras.Input((SIZE, SIZE, 3))
        network = keras.Model(image, build(keras, image))
        first = next(layer for layer in network.layers if layer.weights)
        first.kernel.assign(first.kernel / max(abs(low), high))
        converter = tensorflow.lite.TFLiteConverter.from_keras_model(network)
        converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([images * (high - low) + low] for images in drawn)
        converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = getattr(tensorflow, ends)
        path = tmp_path_factory.mktemp(build.__name__) / "model.tflite"
        path.write_bytes(converter.convert())
        return path

    return {build: export(build) for build in EXPORTS}


@pytest.mark.parametrize("target", ["host", "rv32"])
@pytest.mark.parametrize("build", EXPORTS)
def test_every_output_equals_tflm(build, target, exports):
    toolchain(target)
    done = CliRunner().invoke(main, ["verify", str(exports[build]), "--target", target, "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert (report["identical"], report["inputs"]) == (20, 20)
    assert report["distinct_outputs"] > 3


@pytest.mark.parametrize("runtime", ["stream", "tflm"])
@pytest.mark.parametrize("build", EXPORTS)
def test_a_library_is_made_with_both_runtimes(build, runtime, exports, tmp_path):
    model, labels = exports[build], EXPORTS[build][2]
    if "\n" in labels:
        model.with_name("labels.txt").write_text(labels)
    options = [] if "\n" in labels else ["--labels", labels]
    out = tmp_path / "library.zip"
    done = CliRunner().invoke(main, ["package", str(model), *options, "--runtime", runtime, "--out", str(out)])
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(out) as archive:
        manifest = json.loads(archive.read("vision_model/extras/deploy.json"))
    expected = ["apple", "banana", "red pear"] if "\n" in labels else labels.split(",")
    assert manifest["labels"] == expected


def test_inspect_shows_the_stages_of_an_open_batch(exports):
    done = CliRunner().invoke(main, ["inspect", str(exports[flattened_sigmoid]), "--json"])
    assert done.exit_code == 0, done.output
    assert [layer["kind"] for layer in json.loads(done.output)["layers"]] == [
        *("convolution", "max_pool", "convolution", "table")
    ]


def test_predict_feeds_what_the_scale_of_the_input_asks_for(exports):
    from ai_edge_litert.interpreter import Interpreter

    seer = predict.load(exports[pooled_logits], threshold=0.001)
    reference = Interpreter(str(exports[pooled_logits]))
    reference.allocate_tensors()
    image, logits = reference.get_input_details()[0], reference.get_output_details()[0]
    scale, zero = image["quantization"]
    (logit_scale, logit_zero), shares = logits["quantization"], set()
    for pixels in (
        np.random.default_rng(4).integers(0, 256, (20, 4, 4, 3), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    ):
        reference.set_tensor(image["index"], np.rint(pixels / scale + zero).clip(-128, 127).astype(np.int8)[np.newaxis])
        reference.invoke()
        powers = np.exp((reference.get_tensor(logits["index"])[0].astype(float) - logit_zero) * logit_scale)
        number, percent = re.fullmatch(r"class (\d) (\d+)%", predict.answer(seer, pixels).text).groups()
        # The optimized kernels of TensorFlow Lite differ from the reference kernels by a step or two.
        assert powers[int(number) - 1] / powers.sum() == pytest.approx(int(percent) / 100, abs=0.02)
        shares.add(percent)
    assert len(shares) > 3
