"""The scoring stages of a run: accuracy, loss or F1 of the models, and their memory on a board."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from block import console
from block.data import contract
from block.data.reading import Split
from block.facts import Facts, OperatingPoint, TrainingFacts
from block.pipeline.run import Run
from esp32_deploy.words import DEFAULT_THRESHOLDS

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from block.report.results import Judgement, Probabilities, SplitScores

STAGES = SCORES, MEMORY, RESULTS = ("scores", "memory", "results")


def judge(
    run: Run, network: "nn.Module", facts: Facts, stages: console.Stages, seconds: Mapping[str, float]
) -> "Judgement":
    """Scores the models, measures their memory and writes the results.

    `seconds` are the durations of the earlier stages; they go into metrics.json.
    """
    from block.measure import footprint
    from block.report import results

    outputs = run.outputs
    with stages.run(SCORES):
        operating = facts.operating or operating_point(run, network)
        probabilities = predict(run, network, judged_splits(run, facts.training))
        scores = score(run, operating, probabilities)
    with stages.run(MEMORY):
        costs = footprint.measure(outputs.tflite_int8)
    with stages.run(RESULTS):
        results.write_labels(outputs.labels, run.data.classes)
        judgement = results.Judgement(
            run.settings, run.data, facts.network, facts.training, operating, scores, probabilities, costs
        )
        results.write_predictions(outputs.predictions, judgement)
        contract.write_json(outputs.metrics, results.metrics(judgement, outputs, dict(seconds) | stages.seconds))
        contract.write_json(outputs.deploy, results.deploy_manifest(judgement).as_dict())
    return judgement


def judged_splits(run: Run, training: TrainingFacts) -> dict[str, Split]:
    """The splits that the network was not trained on."""
    return {name: split for name, split in run.data.splits.items() if name not in training.splits}


def predict(run: Run, network: "nn.Module", splits: Mapping[str, Split]) -> "Probabilities":
    """The probabilities from every runtime for every image, by split and runtime.

    Raises BlockError if ONNX and TensorFlow Lite float32 disagree.
    """
    from block.export import runtimes
    from block.measure import evaluate
    from block.model.network import WithSoftmax

    outputs = run.outputs
    with console.foreign_output_hidden(run.debug):
        predictors = {
            "torch": runtimes.torch_predict(WithSoftmax(network)),
            "onnx": runtimes.onnx_predict(outputs.onnx),
            "tflite_float32": runtimes.tflite_float32_predict(outputs.tflite_float32),
            "tflm_int8": runtimes.tflm_predict(outputs.tflite_int8),
        }
    probabilities = {
        name: {runtime: evaluate.predict_all(predict, split.features) for runtime, predict in predictors.items()}
        for name, split in splits.items()
    }
    for by_runtime in probabilities.values():
        both = f"{outputs.onnx.name} and {outputs.tflite_float32.name}"
        evaluate.check_conversion(by_runtime["onnx"], by_runtime["tflite_float32"], both)
    return probabilities


def score(run: Run, operating: OperatingPoint, probabilities: "Probabilities") -> "SplitScores":
    """The scores of every runtime, by split and runtime."""
    from block.measure import detections, evaluate

    data = run.data

    def score_one(values: "np.ndarray", split: Split) -> Any:
        if data.task == "classification":
            return evaluate.evaluate(values, split.labels, data.classes)
        boxes, decode = list(split.labels), run.settings.decode
        return detections.evaluate(values, boxes, data.classes, data.size, operating.threshold, decode)

    return {
        name: {runtime: score_one(values, data.splits[name]) for runtime, values in by_runtime.items()}
        for name, by_runtime in probabilities.items()
    }


def operating_point(run: Run, network: "nn.Module") -> OperatingPoint:
    """The confidence threshold. Detection: best F1 on the validation split. Classification: the default."""
    from block.export import runtimes
    from block.measure import detections, evaluate
    from block.model.network import WithSoftmax

    if run.data.task == "classification":
        return OperatingPoint(DEFAULT_THRESHOLDS["classification"])
    validation = run.data.validation
    grids = evaluate.predict_all(runtimes.torch_predict(WithSoftmax(network)), validation.features)
    curve = detections.curve(grids, list(validation.labels), run.data.size, run.settings.decode)
    return OperatingPoint(detections.best_threshold(curve), curve)
