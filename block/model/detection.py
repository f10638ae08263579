"""The detection task: where objects are on a grid, its network, targets and loss."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from block.model.network import Detector, NetworkShape
from block.words import Loss
from esp32_deploy.words import Decode

# how much more a cell with an object counts than one without in Edge Impulse's FOMO
EDGE_IMPULSE_OBJECT_WEIGHT = 100.0

ValidationScore = Callable[[np.ndarray, Sequence[np.ndarray]], float]


def build_network(shape: NetworkShape) -> nn.Module:
    """A network with random weights whose outputs are logits (B, 1 + classes, grid, grid), channel 0 background."""
    return Detector(shape)


class DetectionTask:
    """Boxes on each image; `validation_score` compares epochs by their grids, higher is better."""

    score_name = "F1"

    def __init__(self, shape: NetworkShape, loss: Loss, decode: Decode, validation_score: ValidationScore) -> None:
        self.classes, self.grid, self.size = shape.classes, shape.grid, shape.size
        self.kind, self.validation_score = loss, validation_score
        # peaks adds up what cells share; fused cells must each reach the threshold
        self.grid_of = shared_grid if decode == "peaks" else cell_grid

    def start_from_priors(self, network: nn.Module, labels: Sequence[np.ndarray]) -> None:
        """Sets the last layer's biases to how often each class fills a cell: training need not learn emptiness."""
        assert isinstance(network, Detector)
        counts = self.targets(labels).sum((0, 2, 3)) + 1
        shares = counts / counts.sum()
        prior = shares.log() if self.kind == "softmax" else torch.logit(shares)
        with torch.no_grad():
            network.logits.bias.copy_(prior)  # type: ignore[union-attr]

    def targets(self, labels: Sequence[np.ndarray]) -> Tensor:
        """Grids (B, 1 + classes, grid, grid) of probabilities, as the decoder to come wants them."""
        return torch.from_numpy(np.stack([self.grid_of(boxes, self.classes, self.grid, self.size) for boxes in labels]))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Of logits and target grids, the mean over cells.

        softmax: all cells count alike, so that a probability is one, and neighbours that share a centre add up; what
        is right costs nothing (the Kullback-Leibler divergence: cross-entropy less that of the target itself).
        edge-impulse: each channel by itself, objects counting a hundred times.
        """
        if self.kind == "edge-impulse":
            weights = torch.ones_like(targets)
            weights[:, 1:] += (EDGE_IMPULSE_OBJECT_WEIGHT - 1) * targets[:, 1:]
            return F.binary_cross_entropy_with_logits(outputs, targets, weights)
        return F.cross_entropy(outputs, targets) - torch.special.entr(targets).sum(1).mean()

    def validate(self, outputs: Tensor, labels: Sequence[np.ndarray]) -> tuple[float, float]:
        """Loss and score of all validation images' logits."""
        loss = self.loss(outputs, self.targets(labels)).item()
        return loss, self.validation_score(outputs.softmax(1).permute(0, 2, 3, 1).numpy(), labels)

    def merit(self, loss: float, score: float) -> tuple[float, ...]:
        """The highest score is best; of equal ones, which few objects make likely, that of the lowest loss."""
        return score, -loss


def cell_grid(boxes: np.ndarray, classes: int, grid: int, size: int) -> np.ndarray:
    """One image's target (1 + classes, grid, grid) float32 of 0 and 1: a box's class in the cell of its centre.

    Where two centres share a cell the smaller box counts; channel 0, background, is what is left.
    """
    target = np.zeros((1 + classes, grid, grid), dtype=np.float32)
    target[0] = 1
    for label, x, y, width, height in sorted(boxes.tolist(), key=lambda box: -box[3] * box[4]):
        column, row = (min(grid - 1, int(center * grid / size)) for center in (x + width / 2, y + height / 2))
        target[:, row, column] = 0
        target[1 + int(label), row, column] = 1
    return target


def shared_grid(boxes: np.ndarray, classes: int, grid: int, size: int) -> np.ndarray:
    """One image's target (1 + classes, grid, grid) float32: each box's class is shared by the four cells around it.

    Each takes the more the nearer its centre is to the box's, by bilinear weights: one in all, so that the weighted
    mean of the cells is the centre, and a centre near the border of cells is no matter of luck. Near the image's edge
    the outermost cells take all. Where objects crowd and a cell would hold more than one, it holds shares of each.
    """
    objects = np.zeros((classes, grid, grid), dtype=np.float32)
    for label, x, y, width, height in boxes.tolist():
        (column, right), (row, below) = (
            _neighbours(center * grid / size - 0.5, grid) for center in (x + width / 2, y + height / 2)
        )
        for down, share in ((0, 1 - below), (1, below)):
            for across, part in ((0, 1 - right), (1, right)):
                if share * part:
                    objects[int(label), row + down, column + across] += share * part
    objects /= np.maximum(objects.sum(axis=0), 1)
    return np.concatenate([1 - objects.sum(axis=0, keepdims=True), objects]).clip(0, 1)


def _neighbours(place: float, cells: int) -> tuple[int, float]:
    """The cell before a place that counts in cells from the first one's centre, and the share of the cell after it."""
    place = min(max(place, 0.0), cells - 1.0)
    first = int(place)
    return first, place - first
