"""What is known of a trained network, as plain values: what it is, how it was trained, where it operates.

A stage returns these and hands them on; no stage changes what another one returned.
"""

from dataclasses import asdict, dataclass
from typing import Any

from block.words import Cut


@dataclass(frozen=True)
class NetworkFacts:
    """What the network is, and what it started from."""

    width: float
    """Width multiplier of MobileNetV2."""
    cut: Cut
    """Where MobileNetV2 ends."""
    parameters: int
    """Trainable parameters."""
    pretrained: str | None
    """File name of the ImageNet weights; None after a random start."""
    random_layers: tuple[str, ...]
    """Layers that the weights file lacks, which started from random weights."""


@dataclass(frozen=True)
class TrainingFacts:
    """How the network was trained."""

    epoch: int
    """The epoch with the best validation result, counted from 1."""
    validation_loss: float
    validation_score: float
    """Accuracy or F1 on the validation split in that epoch, 0 to 1."""
    batch_size: int
    splits: tuple[str, ...]
    """The splits that the network was trained on."""
    device: str


@dataclass(frozen=True)
class CurvePoint:
    """Precision, recall and F1 at one confidence threshold, all from 0 to 1."""

    threshold: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class OperatingPoint:
    """The confidence threshold of a model, and for a detector the curve on the validation split that it came from."""

    threshold: float
    curve: tuple[CurvePoint, ...] = ()


@dataclass(frozen=True)
class Facts:
    """Everything that is known of a trained network. `operating` is None until a stage has chosen it."""

    network: NetworkFacts
    training: TrainingFacts
    operating: OperatingPoint | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for weights.pt; `facts_from_dict` reads them back."""
        return asdict(self)


def facts_from_dict(values: dict[str, Any]) -> Facts:
    """The facts of weights.pt."""
    network = values["network"] | {"random_layers": tuple(values["network"]["random_layers"])}
    training = values["training"] | {"splits": tuple(values["training"]["splits"])}
    operating = values["operating"]
    if operating is not None:
        curve = tuple(CurvePoint(**point) for point in operating["curve"])
        operating = OperatingPoint(operating["threshold"], curve)
    return Facts(NetworkFacts(**network), TrainingFacts(**training), operating)
