"""The stage that chooses where a trained network decides, and folds that into its last layer."""

from dataclasses import replace
from typing import TYPE_CHECKING

from block.facts import Facts, OperatingPoint
from block.pipeline import checkpoint
from block.pipeline.run import Run
from esp32_deploy.words import DEFAULT_THRESHOLDS

if TYPE_CHECKING:
    from torch import nn


def load_exported(run: Run) -> tuple["nn.Module", Facts]:
    """The network of weights.pt as it is exported, with its operating point in the last layer, and its facts."""
    from block.model import operating

    network, facts = checkpoint.load_weights(run)
    chosen = facts.operating or operating_point(run, network)
    return operating.folded(network, chosen), replace(facts, operating=chosen)


def operating_point(run: Run, network: "nn.Module") -> OperatingPoint:
    """The operating point of a trained network, chosen on the validation split."""
    if run.data.task == "classification":
        return _of_classifier(run, network)
    return _of_detector(run, network)


def _of_classifier(run: Run, network: "nn.Module") -> OperatingPoint:
    from block.export import runtimes
    from block.measure import calibration, evaluate

    validation = run.data.validation
    logits = evaluate.predict_all(runtimes.torch_predict(network), validation.features)
    found = calibration.calibrate(logits, validation.labels, run.settings.seed)
    return OperatingPoint(DEFAULT_THRESHOLDS["classification"], calibration=found)


def _of_detector(run: Run, network: "nn.Module") -> OperatingPoint:
    from block.export import runtimes
    from block.measure import detections, evaluate, thresholds
    from block.model.network import WithSoftmax

    data, decode = run.data, run.settings.decode
    boxes = list(data.validation.labels)
    grids = evaluate.predict_all(runtimes.torch_predict(WithSoftmax(network)), data.validation.features)
    shifts = thresholds.choose_shifts(grids, boxes, data.size, decode) if any(map(len, boxes)) else None
    # without an object to choose by, the network stays as it was trained
    shifts = shifts or (0.0,) * len(data.classes)
    curve = detections.curve(thresholds.shifted(grids, shifts), boxes, data.size, decode)
    return OperatingPoint(DEFAULT_THRESHOLDS["detection"], shifts, curve)
