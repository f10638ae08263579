"""The operating point, folded into the last layer: the exported model then decides at its default threshold."""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from block.facts import OperatingPoint
from block.model.network import Classifier, Detector


@torch.no_grad()
def with_shifts(network: Detector, shifts: Sequence[float]) -> Detector:
    """A copy of a detector whose object logits, one a class, are shifted against background.

    A cell whose object had the probability t, and background the rest, has 0.5 after a shift of log((1 - t) / t).
    """
    shifted = copy.deepcopy(network)
    assert shifted.logits.bias is not None
    shifted.logits.bias[1:] += torch.tensor(shifts, dtype=torch.float32)
    return shifted


@torch.no_grad()
def with_temperature(network: Classifier, temperature: float) -> Classifier:
    """A copy of a classifier whose logits are divided by a temperature: the same classes, another confidence."""
    tempered = copy.deepcopy(network)
    assert tempered.logits.bias is not None
    tempered.logits.weight /= temperature
    tempered.logits.bias /= temperature
    return tempered


def folded(network: nn.Module, operating: OperatingPoint) -> nn.Module:
    """A copy of a trained network with its operating point in the last layer."""
    if isinstance(network, Detector):
        return with_shifts(network, operating.shifts)
    assert isinstance(network, Classifier)
    return with_temperature(network, operating.calibration.temperature if operating.calibration else 1.0)
