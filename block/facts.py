"""Facts about a trained network as plain values: its architecture, its training and its operating point.

A stage returns facts, and later stages receive them. No stage changes what another one returned.
"""

from dataclasses import asdict, dataclass
from typing import Any

from block.words import Cut


@dataclass(frozen=True)
class NetworkFacts:
    """The architecture of the network and its initial weights."""

    width: float
    """Width multiplier of MobileNetV2."""
    cut: Cut
    """Where MobileNetV2 ends."""
    parameters: int
    """Trainable parameters."""
    pretrained: str | None
    """File name of the ImageNet weights; None if training started from random weights."""
    random_layers: tuple[str, ...]
    """Layers that the weights file lacks. They started from random weights."""


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
    """The confidence threshold of a model. A detector's comes from `curve`, measured on the validation split."""

    threshold: float
    curve: tuple[CurvePoint, ...] = ()


@dataclass(frozen=True)
class Facts:
    """All facts about a trained network. `operating` is None until a stage has chosen it."""

    network: NetworkFacts
    training: TrainingFacts
    operating: OperatingPoint | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for weights.pt. `facts_from_dict` reads them back."""
        return asdict(self)


def facts_from_dict(values: dict[str, Any]) -> Facts:
    """Facts from the plain values in weights.pt."""
    network = values["network"] | {"random_layers": tuple(values["network"]["random_layers"])}
    training = values["training"] | {"splits": tuple(values["training"]["splits"])}
    operating = values["operating"]
    if operating is not None:
        curve = tuple(CurvePoint(**point) for point in operating["curve"])
        operating = OperatingPoint(operating["threshold"], curve)
    return Facts(NetworkFacts(**network), TrainingFacts(**training), operating)
