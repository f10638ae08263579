"""The classification task: its network, targets and loss."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from block.model.network import Classifier, NetworkShape

# exponent of the class weights: 0 ignores imbalance, 1 gives every class the same total weight
BALANCE = 0.5

ValidationLoss = Callable[[np.ndarray, np.ndarray], float]


def build_network(shape: NetworkShape) -> nn.Module:
    """Builds a classifier with random weights. Its outputs are logits (B, classes)."""
    return Classifier(shape)


class ClassificationTask:
    """One class per image. `train_labels` (N,) are class indices; they set the class weights.

    `validation_loss` maps probabilities (N, classes) and class indices (N,) to a loss. The epoch with the lowest loss
    is the best one.
    """

    score_name = "accuracy"

    def __init__(self, train_labels: np.ndarray, classes: int, validation_loss: ValidationLoss) -> None:
        self.class_weights, self.validation_loss = class_weights(train_labels, classes), validation_loss

    def targets(self, labels: Sequence[int]) -> Tensor:
        """Class indices (B,) as int64, as the loss needs them."""
        return torch.from_numpy(np.array(labels, dtype=np.int64))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of logits (B, classes). Rare classes have a larger weight."""
        return F.cross_entropy(outputs, targets, self.class_weights.to(outputs.device))

    def validate(self, outputs: Tensor, labels: Sequence[int]) -> tuple[float, float]:
        """Loss and accuracy on the validation images, from their logits (N, classes)."""
        loss = self.validation_loss(outputs.softmax(1).numpy(), np.array(labels))
        return loss, (outputs.argmax(1) == self.targets(labels)).float().mean().item()

    def merit(self, loss: float, score: float) -> tuple[float, ...]:  # noqa: ARG002
        """A lower loss is better. Accuracy is not used, because it is noisy on few photos."""
        return (-loss,)

    def keeps(self, merit: tuple[float, ...], highest: tuple[float, ...]) -> bool:
        """The epoch with the lowest loss is kept."""
        return merit > highest


def class_weights(labels: np.ndarray, classes: int) -> Tensor:
    """Class weights (classes,): larger for rare classes, 0 for absent ones. Their mean over all images is 1."""
    counts = np.bincount(labels, minlength=classes).astype(np.float64)
    weights = np.zeros(classes)
    weights[counts > 0] = (counts.sum() / counts[counts > 0]) ** BALANCE
    return torch.from_numpy(weights * counts.sum() / (weights * counts).sum()).float()
