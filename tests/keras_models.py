"""Networks as people build them with Keras, with random weights, as int8 .tflite files. Keras is slow to import."""

import numpy as np

from block.model.backbone import import_keras
from block.model.tensorflow_compat import import_tensorflow

SEED = 5
CALIBRATION_IMAGES = 8


def mobilenet_v1(batch=1, width=0.25, size=96, classes=2):
    """MobileNetV1 at 96 x 96, the network of TensorFlow Lite Micro's person detection example."""
    layers = import_keras().layers
    image = layers.Input((size, size, 3), batch_size=batch)
    rows = _normalized(layers.Conv2D(int(32 * width), 3, 2, "same", use_bias=False)(image), 6)
    for channels, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2)):
        rows = _separable(rows, int(channels * width), stride, 6)
    rows = _separable(rows, int(1024 * width), 1, 6)
    return _classifier(image, layers.AveragePooling2D(rows.shape[1:3])(rows), classes)


def resnet(batch=1, size=32, channels=16, classes=10):
    """ResNet-8: three residual blocks; two of them halve the rows, with 1x1 convolutions of stride 2 as shortcuts."""
    layers = import_keras().layers
    image = layers.Input((size, size, 3), batch_size=batch)
    rows = _normalized(layers.Conv2D(channels, 3, 1, "same")(image))
    for factor, stride in ((1, 1), (2, 2), (4, 2)):
        inner = _normalized(layers.Conv2D(factor * channels, 3, stride, "same")(rows))
        inner = layers.BatchNormalization()(layers.Conv2D(factor * channels, 3, 1, "same")(inner))
        short = layers.Conv2D(factor * channels, 1, stride, "same")(rows) if stride > 1 else rows
        rows = layers.ReLU()(layers.Add()([short, inner]))
    return _classifier(image, layers.AveragePooling2D(rows.shape[1:3])(rows), classes)


def keyword_spotter(batch=1, channels=64, classes=12):
    """DS-CNN on 49 x 10 features of one second of sound."""
    layers = import_keras().layers
    image = layers.Input((49, 10, 1), batch_size=batch)
    rows = _normalized(layers.Conv2D(channels, (10, 4), 2, "same", use_bias=False)(image))
    for _ in range(4):
        rows = _separable(rows, channels, 1)
    return _classifier(image, layers.AveragePooling2D(rows.shape[1:3])(rows), classes)


def _separable(rows, channels, stride, most=None):
    layers = import_keras().layers
    rows = _normalized(layers.DepthwiseConv2D(3, stride, "same", use_bias=False)(rows), most)
    return _normalized(layers.Conv2D(channels, 1, use_bias=False)(rows), most)


def _normalized(rows, most=None):
    layers = import_keras().layers
    return layers.ReLU(most)(layers.BatchNormalization()(rows))


def _classifier(image, pooled, classes):
    keras = import_keras()
    flat = keras.layers.Flatten()(pooled)
    return keras.Model(image, keras.layers.Dense(classes, activation="softmax")(flat))


def int8_model(make, batch=1):
    """The bytes of a network as an int8 .tflite. Its batch normalizations and its scales fit noisy images.

    `batch` is None for an open batch.
    """
    tensorflow, keras = import_tensorflow(), import_keras()
    keras.utils.set_random_seed(SEED)
    model, spread = make(batch), make(None)
    images = _images(model.input_shape[1:])
    _spread_activations(spread, images)
    model.set_weights(spread.get_weights())
    converter = tensorflow.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tensorflow.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tensorflow.int8
    return converter.convert()


def _images(shape):
    """Noise on a coarse random pattern: images whose averages differ, so that a network's outputs differ too."""
    generator = np.random.default_rng(SEED)
    coarse = generator.random((CALIBRATION_IMAGES, 4, 4, shape[2]))
    rows, columns = (np.arange(extent) * 4 // extent for extent in shape[:2])
    return (0.7 * coarse[:, rows][:, :, columns] + 0.3 * generator.random((CALIBRATION_IMAGES, *shape))).astype("f4")


def _spread_activations(model, images):
    """Gives each batch normalization the statistics of its input, and the last layer weights that tell images apart."""
    keras = import_keras()
    generator = np.random.default_rng(SEED)
    normalizations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in normalizations:
        layer.gamma.assign(generator.uniform(0.6, 1.4, layer.gamma.shape))
        layer.beta.assign(generator.normal(0.3, 0.5, layer.beta.shape))
        layer.momentum = 0
    model(images, training=True)
    dense = model.layers[-1]
    features = keras.Model(model.input, dense.input)(images).numpy()
    weights = generator.normal(0, 1, dense.kernel.shape) / features.std(0).mean() / len(features.T) ** 0.5
    dense.set_weights([weights, -(features.mean(0) @ weights)])
