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
class Calibration:
    """The temperature of a classifier, and the expected calibration error on the validation images, 0 to 1.

    `error_after` is cross-validated: each image is counted with a temperature that the other folds chose.
    """

    temperature: float
    error_before: float
    error_after: float
    images: int


@dataclass(frozen=True)
class OperatingPoint:
    """Where a model decides. `shifts` or `calibration` are folded into its last layer when it is exported."""

    threshold: float
    """The confidence threshold of the exported model."""
    shifts: tuple[float, ...] = ()
    """Detection: what is added to each class's logits, so that the best threshold on the validation split is 0.5."""
    curve: tuple[CurvePoint, ...] = ()
    """Detection: precision, recall and F1 of the exported model by threshold, on the validation split."""
    calibration: Calibration | None = None
    """Classification: the temperature that the logits are divided by."""


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
        calibration = operating["calibration"]
        operating = OperatingPoint(
            threshold=operating["threshold"],
            shifts=tuple(operating["shifts"]),
            curve=tuple(CurvePoint(**point) for point in operating["curve"]),
            calibration=None if calibration is None else Calibration(**calibration),
        )
    return Facts(NetworkFacts(**network), TrainingFacts(**training), operating)
