"""MobileNetV2, cut after an early block, with a light 1x1 head. It classifies an image, or each cell of a grid.

Parameters have torchvision's names, so that weights can be exchanged. Stride-2 layers pad (0, 1) as Keras does. The
converted model then needs no PAD operators. Their copies would set the peak of the board's memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from block.model.attention import SelfAttention
from block.words import Cut

# MobileNetV2 (Sandler et al. 2018), table 2, up to the last cut: expansion t, channels c, repeats n, first stride s
STEM_CHANNELS = 32
BLOCKS = (
    # t, c, n, s
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
)
# number of complete blocks; Keras' block_N_expand adds only the first 1x1 convolution of the next block
WHOLE_BLOCKS: dict[Cut, int] = {"block_3_expand": 3, "block_5": 6, "block_6_expand": 6}
NEXT_EXPANSION = 6
# side of an output cell in px of the input
CELL_PX: dict[Cut, int] = {"block_3_expand": 4, "block_5": 8, "block_6_expand": 8}
HEAD_CHANNELS = 32
DROPOUT = 0.5


@dataclass(frozen=True)
class NetworkShape:
    """Parameters of a network: width multiplier, cut, input channels (1 or 3), number of classes, input size in px."""

    width: float
    cut: Cut
    channels: int
    classes: int
    size: int
    attention: bool = False
    """Detection: whether self-attention connects the cells of the grid."""

    @property
    def grid(self) -> int:
        """Cells along each side of the output."""
        return self.size // CELL_PX[self.cut]


def scaled_channels(channels: int, width: float) -> int:
    """Channels at a width multiplier: the nearest multiple of 8 that loses at most 10 % (the rule of MobileNet)."""
    scaled = max(8, int(channels * width + 4) // 8 * 8)
    return scaled + 8 if scaled < 0.9 * channels * width else scaled


class Conv2dKerasPadding(nn.Conv2d):
    """A convolution with Keras' padding for even-sized inputs. Its output has ceil(input / stride) pixels."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        if self.stride[0] == 2:
            input = F.pad(input, (0, 1, 0, 1))
        return super().forward(input)


def convolution(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm and ReLU6 under torchvision's names 0, 1, 2."""
    return nn.Sequential(
        Conv2dKerasPadding(inputs, outputs, kernel, stride, groups), nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True)
    )


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise 3x3, project 1x1. The input is added if its shape equals the output's."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        expand = [convolution(inputs, hidden)] if expansion != 1 else []
        self.conv = nn.Sequential(
            *expand,
            convolution(hidden, hidden, 3, stride, groups=hidden),
            Conv2dKerasPadding(hidden, outputs, 1),
            nn.BatchNorm2d(outputs),
        )
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.is_residual else self.conv(x)


class ExpandOnly(nn.Module):
    """Only the expansion of an inverted residual, under the name that it has there (conv.0)."""

    def __init__(self, inputs: int, expansion: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(convolution(inputs, inputs * expansion))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def build_features(width: float, cut: Cut, channels: int) -> tuple[nn.Sequential, int]:
    """Builds the backbone, (B, channels, H, W) in 0..1 to (B, outputs, H/cell, W/cell). Also returns `outputs`."""
    inputs = scaled_channels(STEM_CHANNELS, width)
    layers: list[nn.Module] = [convolution(channels, inputs, 3, stride=2)]
    for expansion, block_channels, repeats, first_stride in BLOCKS:
        outputs = scaled_channels(block_channels, width)
        for repeat in range(repeats):
            if len(layers) <= WHOLE_BLOCKS[cut]:
                layers.append(InvertedResidual(inputs, outputs, first_stride if repeat == 0 else 1, expansion))
                inputs = outputs
    if cut != "block_5":
        layers.append(ExpandOnly(inputs, NEXT_EXPANSION))
        inputs *= NEXT_EXPANSION
    return nn.Sequential(*layers), inputs


def initialise(layers: Iterable[nn.Module], logits: nn.Conv2d) -> None:
    """Sets random weights: Kaiming's for layers with ReLU, small ones for the logits, so that classes start equal."""
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    nn.init.normal_(logits.weight, std=0.01)


class Classifier(nn.Module):
    """The cut backbone, 1x1 convolution with ReLU, dropout, global average pooling and a 1x1 convolution to logits."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.features, outputs = build_features(shape.width, shape.cut, shape.channels)
        self.head = nn.Sequential(nn.Conv2d(outputs, HEAD_CHANNELS, 1), nn.ReLU(inplace=True), nn.Dropout(DROPOUT))
        self.logits = nn.Conv2d(HEAD_CHANNELS, shape.classes, 1)
        initialise((*self.features.modules(), self.head[0]), self.logits)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels (B, C, H, W) in 0..1 to logits (B, classes)."""
        x = self.head(self.features(x))  # (B, 32, H/cell, W/cell)
        return self.logits(x.mean((2, 3), keepdim=True)).flatten(1)


class Detector(nn.Module):
    """The cut backbone, 1x1 convolution with ReLU, optional self-attention and a 1x1 convolution to logits per cell."""

    def __init__(self, shape: NetworkShape) -> None:
        super().__init__()
        self.features, outputs = build_features(shape.width, shape.cut, shape.channels)
        self.head = nn.Sequential(nn.Conv2d(outputs, HEAD_CHANNELS, 1), nn.ReLU(inplace=True))
        self.attention = SelfAttention(HEAD_CHANNELS, shape.grid) if shape.attention else nn.Identity()
        self.logits = nn.Conv2d(HEAD_CHANNELS, 1 + shape.classes, 1)
        initialise((*self.features.modules(), self.head[0]), self.logits)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels (B, C, H, W) in 0..1 to logits (B, 1 + classes, H/cell, W/cell). Channel 0 is background."""
        return self.logits(self.attention(self.head(self.features(x))))


class WithSoftmax(nn.Module):
    """The network for export: it outputs probabilities with channels last. Training uses logits instead."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        logits = self.network(x)
        if logits.ndim == 4:
            logits = logits.permute(0, 2, 3, 1)  # (B, H/cell, W/cell, 1 + classes)
        return torch.softmax(logits, dim=-1)


def count_parameters(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters())
