"""Rounds weights to int8 before a converter does, so that the network's outputs change least.

A converter rounds each weight to the nearest integer. These rounding errors can add up. For example, a depthwise filter
that computes differences has large weights whose sum is zero. After nearest rounding the sum is not zero, so the filter
responds to plain brightness. If some of its weights are rounded the other way, the sum stays near zero.

For each output channel this module minimises d' C d. Here d is the rounding error of the weights, and C is the
covariance of the layer's inputs over real images. This is the second-order view of Nagel et al. 2020, "Up or Down?",
solved by coordinate descent. The mean of the remaining error goes into the bias, which int8 models store in 32 bits.
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

INT8_MAX = 127
BATCH_IMAGES = 16
WINDOWS_PER_IMAGE = 576
# every flip lowers the error, so the descent always ends; this limit is far above the number of flips needed
MOST_FLIPS = 1000
INTEGER_TOLERANCE = 1e-6
LEAST_GAIN = 1e-12


def with_int8_weights(network: nn.Module, images: np.ndarray) -> nn.Module:
    """Copies a trained network, fuses BatchNorm into its convolutions and makes their weights exact int8 values.

    `images` (N, H, W, C) float32 0..1 are typical inputs. As in TensorFlow Lite, weights have one scale per output
    channel, max |w| / 127, and zero point 0.
    """
    network = fuse_batch_norm(copy.deepcopy(network).eval())
    for layer, statistics in input_statistics(network, torch.from_numpy(images).permute(0, 3, 1, 2)).items():
        round_layer(layer, *statistics)
    return network


def fuse_batch_norm(network: nn.Module) -> nn.Module:
    """Fuses each BatchNorm that follows a convolution in a Sequential into that convolution, in place."""
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            for first, second in zip(list(module._modules), list(module._modules)[1:], strict=False):
                convolution, norm = module._modules[first], module._modules[second]
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module._modules[first] = fuse_conv_bn_eval(convolution, norm)
                    module._modules[second] = nn.Identity()
    return network


@torch.inference_mode()
def input_statistics(network: nn.Module, images: Tensor) -> dict[nn.Conv2d, tuple[Tensor, Tensor]]:
    """Mean (G, K) and covariance (G, K, K) of the inputs of each convolution's G groups.

    K = input channels per group * kernel height * kernel width.
    """
    sums: dict[nn.Conv2d, tuple[int, Tensor, Tensor]] = {}

    def collect(layer: nn.Conv2d, inputs: tuple[Tensor, ...]) -> None:
        windows = _windows(layer, inputs[0])
        count, total, products = sums.get(layer, (0, torch.zeros(()), torch.zeros(())))
        sums[layer] = (count + windows.shape[1], total + windows.sum(1), products + windows.transpose(1, 2) @ windows)

    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    hooks = [layer.register_forward_pre_hook(collect) for layer in layers]
    for batch in images.split(BATCH_IMAGES):
        network(batch)
    for hook in hooks:
        hook.remove()
    return {layer: _mean_and_covariance(*sums[layer]) for layer in layers}


def _mean_and_covariance(count: int, total: Tensor, products: Tensor) -> tuple[Tensor, Tensor]:
    mean = total / count
    return mean, products / count - mean.unsqueeze(2) * mean.unsqueeze(1)


def _windows(layer: nn.Conv2d, inputs: Tensor) -> Tensor:
    """The input window of each output pixel: (B, C, H, W) to (G, B * pixels, K), in float64 for precise sums."""
    if layer.stride[0] == 2:
        inputs = F.pad(inputs, (0, 1, 0, 1))
    padding: Any = layer.padding  # torch's type also allows strings, but these convolutions have numbers
    unfolded = F.unfold(inputs, layer.kernel_size, padding=padding, stride=layer.stride)  # (B, C * k * k, L)
    # neighbouring windows are similar, so large planes need only some of them
    sampled = unfolded[:, :, :: -(-unfolded.shape[2] // WINDOWS_PER_IMAGE)]
    grouped = sampled.unflatten(1, (layer.groups, -1))  # (B, G, K, L)
    return grouped.permute(1, 0, 3, 2).flatten(1, 2).double()


@torch.no_grad()
def round_layer(layer: nn.Conv2d, mean: Tensor, covariance: Tensor) -> None:
    """Replaces a convolution's weights by their int8 values times the scale, and corrects its bias.

    `mean` (G, K) and `covariance` (G, K, K) are its input statistics.
    """
    # one row per output channel; the channels of a group use the same statistics
    weights = layer.weight.detach().flatten(1).double()  # (outputs, K)
    repeats = layer.out_channels // layer.groups if layer.groups > 1 else 1
    mean, covariance = mean.repeat_interleave(repeats, 0), covariance.repeat_interleave(repeats, 0)
    scales = weights.abs().amax(1, keepdim=True) / INT8_MAX
    scales[scales == 0] = 1.0
    rounded = round_weights(weights / scales, covariance) * scales
    layer.weight.copy_(rounded.float().view_as(layer.weight))
    if layer.bias is not None:
        layer.bias -= ((rounded - weights) * mean).sum(1).float()


def round_weights(weights: Tensor, covariance: Tensor) -> Tensor:
    """Rounds `weights` (rows, K), in units of the scale, to a local minimum of error' covariance error.

    `covariance` is (rows, K, K), or (1, K, K) for all rows. Each weight becomes the integer below or above it. The
    largest weight of a row does not change, because it sets the scale.
    """
    rounded = weights.round()
    rows = torch.arange(len(weights))
    diagonal = covariance.diagonal(dim1=1, dim2=2)
    for _ in range(MOST_FLIPS):
        error = rounded - weights
        # a flip goes to the integer on the other side of the weight; the largest weight is already an integer, except
        # for float errors
        flip = torch.where(error > 0, -1.0, 1.0) * (error.abs() > INTEGER_TOLERANCE)
        change = 2 * flip * (error.unsqueeze(1) @ covariance).squeeze(1) + flip.square() * diagonal
        change[(rounded + flip).abs() > INT8_MAX] = 0
        gain, best = change.min(1)
        if gain.min() >= -LEAST_GAIN:
            break
        rounded[rows, best] += flip[rows, best] * (gain < -LEAST_GAIN)
    return rounded
