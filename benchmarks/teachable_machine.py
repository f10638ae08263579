"""Writes a model like those of Teachable Machine's "Quantized" export, with random weights, to measure its costs.

    python benchmarks/teachable_machine.py teachable_machine.tflite
    python -m esp32_deploy verify teachable_machine.tflite --target rv32

It is Keras' MobileNetV2 of width 0.35 at 224 px with a dense layer of 100 and a softmax over three classes. Its ends
are uint8, its pixels -1..1 and its batch is open. Takes half a minute.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

SIZE = 224
CLASSES = 3
# images of 28 x 28 blocks: noise of single pixels would average out
BLOCKS = 28


def network() -> tf.keras.Model:
    """The network. Its BatchNormalization gets random statistics, so that outputs differ between images."""
    layers = tf.keras.layers
    backbone = tf.keras.applications.MobileNetV2((SIZE, SIZE, 3), alpha=0.35, weights=None, include_top=False)
    x = layers.GlobalAveragePooling2D()(backbone.output)
    x = layers.Dense(100, activation="relu", kernel_initializer="variance_scaling")(x)
    x = layers.Dense(CLASSES, use_bias=False, activation="softmax", kernel_initializer="variance_scaling")(x)
    model = tf.keras.Model(backbone.input, x)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            count = layer.gamma.shape[0]
            draw = np.random.default_rng(count)
            ranges = (draw.uniform(0.8, 2.5, count), draw.normal(0, 0.3, count), draw.normal(0, 0.1, count))
            layer.set_weights([*ranges, draw.uniform(0.05, 0.3, count)])
    return model


def calibration() -> Iterator[list[np.ndarray]]:
    """Images in -1..1 with a black and a white pixel each."""
    draw = np.random.default_rng(1)
    for _ in range(6):
        image = draw.random((1, BLOCKS, BLOCKS, 3), np.float32).repeat(SIZE // BLOCKS, 1).repeat(SIZE // BLOCKS, 2)
        image[0, 0, 0], image[0, 0, 1] = 0, 1
        yield [image * 2 - 1]


def main() -> None:
    tf.keras.utils.set_random_seed(3)
    converter = tf.lite.TFLiteConverter.from_keras_model(network())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = calibration
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    Path(sys.argv[1]).write_bytes(converter.convert())


if __name__ == "__main__":
    main()
