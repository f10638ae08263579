"""Names that all packages of the block share: splits, cuts, losses, image sizes and runtimes."""

from typing import Literal, get_args

SPLITS = ("train", "validation", "holdout")
# if there is a holdout split, the final network is trained on both of these
TRAINING_SPLITS = ("train", "validation")
SPLIT_WORDS = {"train": "training", "validation": "validation", "holdout": "test"}

Cut = Literal["block_3_expand", "block_5", "block_6_expand"]
CUTS: tuple[Cut, ...] = get_args(Cut)
Loss = Literal["softmax", "edge-impulse"]
LOSSES: tuple[Loss, ...] = get_args(Loss)

SIZES_PX = range(48, 321, 8)
"""Heights and widths of images that the network accepts."""

FLOAT32, INT8 = "torch", "tflm_int8"
"""The two main runtimes: the trained network, and the int8 model as the board computes it."""
RUNTIME_NAMES = {
    FLOAT32: "PyTorch, as trained",
    "onnx": "ONNX Runtime",
    "tflite_float32": "TensorFlow Lite float32",
    INT8: "TensorFlow Lite Micro int8",
}
