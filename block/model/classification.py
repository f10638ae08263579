"""The classification task: its network, targets and loss."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from block.model.network import Classifier, NetworkShape

# 1 would give every class the same say however few photos it has, 0 ignores the imbalance
BALANCE = 0.5

ValidationLoss = Callable[[np.ndarray, np.ndarray], float]


def build_network(shape: NetworkShape) -> nn.Module:
    """A network with random weights whose outputs are logits (B, classes)."""
    return Classifier(shape)


class ClassificationTask:
    """One label an image; `train_labels` (N,) class indices set the class weights.

    `validation_loss` compares epochs: probabilities (N, classes) and class indices (N,) to a loss, lower is better.
    """

    score_name = "accuracy"

    def __init__(self, train_labels: np.ndarray, classes: int, validation_loss: ValidationLoss) -> None:
        self.class_weights, self.validation_loss = class_weights(train_labels, classes), validation_loss

    def targets(self, labels: Sequence[int]) -> Tensor:
        """Class indices (B,) as the loss takes them."""
        return torch.from_numpy(np.array(labels, dtype=np.int64))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of logits (B, classes), rare classes weighing more."""
        return F.cross_entropy(outputs, targets, self.class_weights.to(outputs.device))

    def validate(self, outputs: Tensor, labels: Sequence[int]) -> tuple[float, float]:
        """Loss and accuracy of all validation images' logits."""
        loss = self.validation_loss(outputs.softmax(1).numpy(), np.array(labels))
        return loss, (outputs.argmax(1) == self.targets(labels)).float().mean().item()

    def merit(self, loss: float, score: float) -> tuple[float, ...]:  # noqa: ARG002
        """The lowest loss is best: on few photos accuracy jumps and says little."""
        return (-loss,)


def class_weights(labels: np.ndarray, classes: int) -> Tensor:
    """Weights (classes,) that grow as a class gets rarer, 1 for an average image; absent classes weigh nothing."""
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    weights = np.zeros(classes)
    weights[counts > 0] = (counts.sum() / counts[counts > 0]) ** BALANCE
    return torch.from_numpy(weights * counts.sum() / (weights * counts).sum()).float()
