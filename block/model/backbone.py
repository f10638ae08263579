"""ImageNet weights for a width: reads them from a folder, or downloads and converts Keras' published weights.

The weights were trained on normalised pixels, but this project's network takes pixels 0..1. Loading therefore folds the
normalisation into the first convolution and its BatchNorm.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from block import console
from block.errors import BlockError
from block.model.tensorflow_compat import import_tensorflow
from block.words import Cut
from esp32_deploy.files import replacing

WEIGHTS_VARIABLE = "BLOCK_WEIGHTS"
WEIGHTS_FOLDER = Path(__file__).resolve().parents[2] / "weights"
FILE_SUFFIXES: dict[Cut, str] = {"block_5": "features7", "block_6_expand": "block6expand"}
FORMAT = 1

# block_5 ends after features.6; the file for block_6_expand also holds features.7.conv.0
LAST_CUT: Cut = "block_6_expand"
KERAS_BLOCKS = 7
# BatchNorm adds this to the variance: torch 1e-5, Keras' MobileNetV2 1e-3
TORCH_EPSILON, KERAS_EPSILON = 1e-5, 1e-3
KERAS_SIZE_PX = 224


@dataclass(frozen=True)
class Normalisation:
    """The normalisation of the pixels 0..1 that the weights were trained on: (x - mean) / std."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


PLUS_MINUS_ONE = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class PretrainedWeights:
    """A backbone's weights under torchvision's names, with the normalisation and padding of their training."""

    state: dict[str, Tensor]
    normalisation: Normalisation
    padding: str
    path: Path


def weights_folder() -> Path:
    """The folder that $BLOCK_WEIGHTS names, or else the project's folder `weights`."""
    return Path(os.environ.get(WEIGHTS_VARIABLE) or WEIGHTS_FOLDER)


def file_name(width: float, cut: Cut) -> str:
    """Name of a weights file, for example mobilenetv2_035_features7.pt."""
    return f"mobilenetv2_{round(width * 100):03d}_{FILE_SUFFIXES[cut]}.pt"


def paths(width: float, folder: Path) -> list[Path]:
    """The weights files of a width, one per cut."""
    return [folder / file_name(width, cut) for cut in FILE_SUFFIXES]


def find(width: float, cut: Cut, folder: Path | None = None) -> PretrainedWeights | None:
    """Reads the weights of a width from the file of this cut, or else of the other cut. None if neither exists."""
    folder = folder or weights_folder()
    for candidate in sorted(FILE_SUFFIXES, key=lambda other: other != cut):
        path = folder / file_name(width, candidate)
        if path.exists():
            return read(path, width)
    return None


def read(path: Path, width: float) -> PretrainedWeights:
    """Reads a weights file. Raises BlockError with its path if it is damaged or has another format."""
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many different exceptions for a damaged file
        raise BlockError(
            f"{path} cannot be read as weights ({error}). Delete the file. Then run "
            f"{console.command('-m', 'block', 'weights')}, or train with --pretrained 0."
        ) from error
    if "state" not in content:
        # a plain state dict: widths below 1 come from Keras, width 1.0 comes from torchvision
        return PretrainedWeights(content, PLUS_MINUS_ONE if width < 1 else IMAGENET, "unknown", path)
    if content.get("format") != FORMAT:
        raise BlockError(
            f"{path} has weights format {content.get('format')}. This version reads format {FORMAT}. "
            f"Make the file again with {console.command('-m', 'block', 'weights')}."
        )
    normalisation = Normalisation(tuple(content["mean"]), tuple(content["std"]))
    return PretrainedWeights(content["state"], normalisation, content["padding"], path)


def load_into(network: nn.Module, weights: PretrainedWeights, channels: int) -> list[str]:
    """Copies pretrained weights into a network that takes pixels 0..1.

    Returns the backbone layers that the file lacks; they keep their random weights. Raises BlockError if shapes differ.
    """
    state = fold_normalisation(weights.state, weights.normalisation)
    if channels == 1:
        state = to_grayscale(state)
    backbone = {name for name in network.state_dict() if name.startswith("features.")}
    missing = sorted(backbone - state.keys())
    try:
        network.load_state_dict({name: state[name] for name in backbone & state.keys()}, strict=False)
    except RuntimeError as error:
        raise BlockError(
            f"{weights.path} does not fit this network: {' '.join(str(error).split())[:200]}. Delete the file. "
            f"Then run {console.command('-m', 'block', 'weights')}, or train with --pretrained 0."
        ) from error
    return sorted({name.rsplit(".", 2)[0] for name in missing})


def fold_normalisation(state: Mapping[str, Tensor], normalisation: Normalisation) -> dict[str, Tensor]:
    """Converts the weights for pixels 0..1: W(x - mean)/std = (W/std)x - W mean/std.

    The constant W mean/std is added to BatchNorm's running mean. The result is exact where padding has no influence. At
    the right and bottom border the padding was mid-grey and is now black.
    """
    mean, std = (
        torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (normalisation.mean, normalisation.std)
    )
    weight = state["features.0.0.weight"].double()
    constant = (weight * mean / std).sum((1, 2, 3))
    running_mean = state["features.0.1.running_mean"].double() + constant
    return dict(state) | {
        "features.0.0.weight": (weight / std).float(),
        "features.0.1.running_mean": running_mean.float(),
    }


def to_grayscale(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Converts the first layer to one channel. Gray has equal red, green and blue, so their weights are added."""
    first = "features.0.0.weight"
    return dict(state) | {first: state[first].sum(1, keepdim=True)}


# --- Keras' published weights ------------------------------------------------------------------------------------


def download(width: float, folder: Path) -> None:
    """Downloads Keras' ImageNet weights of a width, converts them and writes one file per cut.

    Raises BlockError if the download fails.
    """
    keras = import_keras()
    try:
        model = keras.applications.MobileNetV2((KERAS_SIZE_PX, KERAS_SIZE_PX, 3), width, include_top=False)
    except Exception as error:  # a download can fail in many ways
        raise BlockError(
            f"The ImageNet weights for width {width} could not be downloaded: {error}. "
            "Check the internet connection, or train with --pretrained 0."
        ) from error
    write(from_keras(model), width, folder)


def import_keras() -> Any:
    """Imports tf_keras, the Keras that TensorFlow Lite's converter uses. The import is slow, so it happens here."""
    import_tensorflow()
    import tf_keras

    return tf_keras


def write(state: Mapping[str, Tensor], width: float, folder: Path) -> None:
    """Writes a backbone's weights as one file per cut, with the normalisation and padding of their training."""
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        "format": FORMAT,
        "mean": list(PLUS_MINUS_ONE.mean),
        "std": list(PLUS_MINUS_ONE.std),
        "padding": "(0, 1)",
        "source": f"keras.applications.MobileNetV2, alpha {width}, ImageNet, {KERAS_SIZE_PX} px, Apache-2.0",
    }
    for cut, path in zip(FILE_SUFFIXES, paths(width, folder), strict=True):
        kept = {name: value for name, value in state.items() if cut == LAST_CUT or not name.startswith("features.7.")}
        with replacing(path) as temporary:
            torch.save(content | {"state": kept}, temporary)


def from_keras(model: Any) -> dict[str, Tensor]:
    """Layers of a Keras MobileNetV2 up to block_6_expand, under torchvision's names and in torch's layout."""
    state: dict[str, Tensor] = {}
    for torch_name, keras_name in _layer_names():
        layer = model.get_layer(keras_name)
        if "BN" in keras_name or keras_name == "bn_Conv1":
            state |= _batch_norm(torch_name, layer)
        else:
            # Keras: (height, width, inputs, outputs), depthwise (height, width, channels, 1)
            order = (2, 3, 0, 1) if "depthwise" in keras_name else (3, 2, 0, 1)
            state[f"{torch_name}.weight"] = torch.from_numpy(layer.get_weights()[0]).permute(order).contiguous()
    return state


def _layer_names() -> list[tuple[str, str]]:
    names = [
        ("features.0.0", "Conv1"),
        ("features.0.1", "bn_Conv1"),
        ("features.1.conv.0.0", "expanded_conv_depthwise"),
        ("features.1.conv.0.1", "expanded_conv_depthwise_BN"),
        ("features.1.conv.1", "expanded_conv_project"),
        ("features.1.conv.2", "expanded_conv_project_BN"),
    ]
    for number in range(2, KERAS_BLOCKS + 1):
        torch_block, keras_block = f"features.{number}.conv", f"block_{number - 1}"
        names += [(f"{torch_block}.0.0", f"{keras_block}_expand"), (f"{torch_block}.0.1", f"{keras_block}_expand_BN")]
        if number < KERAS_BLOCKS:
            names += [
                (f"{torch_block}.1.0", f"{keras_block}_depthwise"),
                (f"{torch_block}.1.1", f"{keras_block}_depthwise_BN"),
                (f"{torch_block}.2", f"{keras_block}_project"),
                (f"{torch_block}.3", f"{keras_block}_project_BN"),
            ]
    return names


def _batch_norm(name: str, layer: Any) -> dict[str, Tensor]:
    gamma, beta, mean, variance = (torch.from_numpy(value) for value in layer.get_weights())
    return {
        f"{name}.weight": gamma,
        f"{name}.bias": beta,
        f"{name}.running_mean": mean,
        # Keras adds 1e-3 to the variance and torch 1e-5; this adds the difference
        f"{name}.running_var": variance + (KERAS_EPSILON - TORCH_EPSILON),
        f"{name}.num_batches_tracked": torch.tensor(0),
    }
