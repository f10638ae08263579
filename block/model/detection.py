"""The detection task: its network, its targets on a grid of cells, and its losses."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from block.model.network import Detector, NetworkShape
from block.words import Loss
from esp32_deploy.words import Decode

# weight of a cell with an object in Edge Impulse's FOMO; a cell without one has weight 1
EDGE_IMPULSE_OBJECT_WEIGHT = 100.0

ValidationScore = Callable[[np.ndarray, Sequence[np.ndarray]], float]
Uncertainty = Callable[[float], float]


def build_network(shape: NetworkShape) -> nn.Module:
    """Builds a detector with random weights. Its outputs are logits (B, 1 + classes, grid, grid), background first."""
    return Detector(shape)


class DetectionTask:
    """Boxes on each image.

    `validation_score` maps grids of probabilities and boxes to a score; higher is better. `uncertainty` maps a score to
    the difference that the validation images cannot tell from chance.
    """

    score_name = "F1"

    def __init__(
        self,
        shape: NetworkShape,
        loss: Loss,
        decode: Decode,
        validation_score: ValidationScore,
        uncertainty: Uncertainty = lambda _: 0.0,
    ) -> None:
        self.classes, self.grid, self.size = shape.classes, shape.grid, shape.size
        self.kind, self.decode = loss, decode
        self.validation_score, self.uncertainty = validation_score, uncertainty
        self.class_weights = torch.ones(1 + shape.classes)
        """Of each channel in the softmax loss, background first."""
        # "peaks" sums the shares of neighbouring cells; "fuse" compares each cell with the threshold
        self.grid_of = shared_grid if decode == "peaks" else cell_grid

    def start_from_priors(self, network: nn.Module, labels: Sequence[np.ndarray]) -> None:
        """Weights the classes, and sets the last layer's biases to the share of the loss that each class has.

        Training then need not learn first that most cells are empty. With "fuse" each cell must be surer of an object
        than of background on its own. Where objects are rare, the loss is nearly all background and no cell gets there.
        So the weight of objects is the square root of the number of background cells for each cell with an object.
        With "peaks" all cells have the same weight, because the decoder adds probabilities up.
        """
        assert isinstance(network, Detector)
        counts = self.targets(labels).sum((0, 2, 3)) + 1
        if self.kind == "softmax" and self.decode == "fuse":
            rarity = (counts[0] / counts[1:].sum()).item()
            self.class_weights[1:] = min(max(1.0, math.sqrt(rarity)), EDGE_IMPULSE_OBJECT_WEIGHT)
        counts = counts * self.class_weights
        shares = counts / counts.sum()
        prior = shares.log() if self.kind == "softmax" else torch.logit(shares)
        with torch.no_grad():
            network.logits.bias.copy_(prior)  # type: ignore[union-attr]

    def targets(self, labels: Sequence[np.ndarray]) -> Tensor:
        """Target grids (B, 1 + classes, grid, grid) of probabilities, as the decoder expects them."""
        return torch.from_numpy(np.stack([self.grid_of(boxes, self.classes, self.grid, self.size) for boxes in labels]))

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss of logits against target grids, averaged over cells.

        softmax: the Kullback-Leibler divergence, that is cross-entropy minus the entropy of the target. A perfect
        output has loss 0. With "peaks" all cells have the same weight, so outputs are true probabilities and can be
        summed over the cells that share an object. With "fuse" cells with an object weigh more (`start_from_priors`).
        edge-impulse: binary cross-entropy, averaged over channels too. Objects have weight 100.
        """
        if self.kind == "edge-impulse":
            weights = torch.ones_like(targets)
            weights[:, 1:] += (EDGE_IMPULSE_OBJECT_WEIGHT - 1) * targets[:, 1:]
            return F.binary_cross_entropy_with_logits(outputs, targets, weights)
        class_weights = self.class_weights.to(outputs.device)
        entropy = torch.einsum("bcij,c->bij", torch.special.entr(targets), class_weights)
        return F.cross_entropy(outputs, targets, class_weights) - entropy.mean()

    def validate(self, outputs: Tensor, labels: Sequence[np.ndarray]) -> tuple[float, float]:
        """Loss and score on the validation images, from their logits (N, 1 + classes, grid, grid)."""
        loss = self.loss(outputs, self.targets(labels)).item()
        return loss, self.validation_score(outputs.softmax(1).permute(0, 2, 3, 1).numpy(), labels)

    def merit(self, loss: float, score: float) -> tuple[float, ...]:
        """A higher score is better. Equal scores are likely with few objects; then a lower loss is better."""
        return score, -loss

    def keeps(self, merit: tuple[float, ...], highest: tuple[float, ...]) -> bool:
        """The last epoch is kept whose score is not certainly below the highest.

        A later epoch has trained longer, and the averaged network changes little at the end of the schedule. An early
        epoch with a slightly higher score on few objects was mostly lucky: see docs/experiments.md.
        """
        tolerance = self.uncertainty(highest[0])
        return merit[0] >= highest[0] - tolerance if tolerance else merit > highest


def cell_grid(boxes: np.ndarray, classes: int, grid: int, size: int) -> np.ndarray:
    """One image's target for "fuse", (1 + classes, grid, grid) float32 of 0 and 1.

    The cell that contains a box's centre gets the box's class. If a cell contains two centres, the smaller box counts.
    Channel 0, background, is 1 in all other cells. `boxes` (n, 5) are class, x, y, width, height in px.
    """
    target = np.zeros((1 + classes, grid, grid), dtype=np.float32)
    target[0] = 1
    for label, x, y, width, height in sorted(boxes.tolist(), key=lambda box: -box[3] * box[4]):
        column, row = (min(grid - 1, int(center * grid / size)) for center in (x + width / 2, y + height / 2))
        target[:, row, column] = 0
        target[1 + int(label), row, column] = 1
    return target


def shared_grid(boxes: np.ndarray, classes: int, grid: int, size: int) -> np.ndarray:
    """One image's target for "peaks", (1 + classes, grid, grid) float32: four cells share each box.

    The four cells around a box's centre get bilinear weights, whose sum is 1. The weighted mean of the cell centres is
    the box's centre, and the target changes only a little when the box moves across a cell border. At the image's edge
    the outermost cells get the whole weight. If the weights in a cell sum to more than 1, they are divided by the sum.
    `boxes` (n, 5) are class, x, y, width, height in px.
    """
    objects = np.zeros((classes, grid, grid))
    for label, x, y, width, height in boxes.tolist():
        (column, right), (row, below) = (
            _neighbours(center * grid / size - 0.5, grid) for center in (x + width / 2, y + height / 2)
        )
        for down, share in ((0, 1 - below), (1, below)):
            for across, part in ((0, 1 - right), (1, right)):
                if share * part:
                    objects[int(label), row + down, column + across] += share * part
    objects /= np.maximum(objects.sum(axis=0), 1)
    return np.concatenate([1 - objects.sum(axis=0, keepdims=True), objects]).clip(0, 1).astype(np.float32)


def _neighbours(place: float, cells: int) -> tuple[int, float]:
    """The cell before a position, and the weight of the cell after it. Position 0 is the centre of the first cell."""
    place = min(max(place, 0.0), cells - 1.0)
    first = int(place)
    return first, place - first
