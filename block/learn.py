"""The story of a run: read, fit, export, score, write down; `run` tells it, the functions below are its chapters."""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from block import checkpoint, console, reporting, stopping, trial
from block.checkpoint import Run
from block.console import say, warn
from block.data import contract, photos, reading
from block.data.contract import Outputs
from block.data.reading import BlockData
from block.errors import BlockError
from block.report import summary
from block.settings import PhotoSettings, Settings

if TYPE_CHECKING:
    from torch import nn

    from block.measure.evaluate import Scores
    from block.measure.footprint import Footprint
    from block.report.results import Probabilities

# held back from Studio's time limit for what follows training: imports and conversion, then each scored image;
# seconds for all four runtimes at width 1.0 and 96 px on a busy machine, in proportion to the network's work
EXPORT_RESERVE_SECONDS = 90.0
SCORING_SECONDS_PER_IMAGE = 0.25
# of a short time limit at least this share is spent on training
LEAST_TRAINING_SHARE = 0.3
# after SIGTERM the TensorFlow Lite files are tried only if there is as much time: TensorFlow's import alone takes 5 s
TFLITE_SECONDS = 20.0

STAGES = ("ONNX", "TensorFlow Lite float32", "TensorFlow Lite int8", "scores", "memory", "results", *reporting.STAGES)


def run(settings: Settings, debug: bool = False, ignored: Sequence[str] = ()) -> None:
    """Learns from a data directory and fills an output folder; raises BlockError for whatever a person can mend."""
    started = time.monotonic()
    if ignored:
        warn(f"ignored, not options of this block: {', '.join(ignored)}")
    with stopping.on_sigterm() as stop:
        check_directories(settings)
        contract.make_folder(settings.out_directory)
        contract.check_room(settings.out_directory)
        outputs = Outputs(settings.out_directory)
        run = Run(settings, outputs, read_data(settings, outputs), debug)
        summary.describe_data(run.data)
        read = time.monotonic()
        fit(run, started, stop)
        finish(run, {"reading": read - started, "training": time.monotonic() - read})


def convert(out_directory: Path, data_directory: Path | None = None, debug: bool = False) -> None:
    """Makes everything that follows training again, from what an earlier run kept in its output folder."""
    run = checkpoint.resume(out_directory, data_directory, debug)
    contract.check_room(out_directory)
    finish(run, {})


# --- read ------------------------------------------------------------------------------------------------------


def check_directories(settings: Settings) -> None:
    """Refuses a data directory without data, before anything is made."""
    directory = settings.data_directory
    if not directory.is_dir():
        raise BlockError(
            f"--data-directory {directory} is not a folder; name the folder with Studio's arrays or with photos."
        )
    if contract.is_block_directory(directory):
        return
    if not photos.is_photo_folder(directory):
        raise BlockError(
            f"--data-directory {directory} holds neither Studio's arrays "
            f"({contract.FEATURE_FILES['train']} and the others) nor photos."
        )
    photos.refuse_own_output(directory, settings.out_directory)


def read_data(settings: Settings, outputs: Outputs) -> BlockData:
    """The examples; a folder of photos is prepared into the output folder first."""
    directory = settings.data_directory
    if not contract.is_block_directory(directory):
        say(f"{directory} is a folder of photos: preparing it into {outputs.prepared}")
        prepare(directory, outputs.prepared, settings.photos, settings.seed)
        directory = outputs.prepared
    with console.beating("Reading the arrays"):
        return reading.read(directory, settings.info_file)


def prepare(directory: Path, out: Path, how: PhotoSettings, seed: int) -> None:
    """Turns photos into a block directory; says where labels and split came from and what could not be read."""
    preparation = photos.prepare(
        directory,
        out,
        size=how.size,
        resize_mode=how.resize,
        channels=how.channels,
        labels_from=how.labels_from,
        seed=seed,
        track=lambda names: console.track(names, "Photos"),
    )
    say(f"Labels from: {preparation.labels_from}; split: {preparation.split_from}")
    if preparation.skipped:
        warn(f"{len(preparation.skipped)} photos could not be read and were left out:")
        for name, reason in preparation.skipped:
            say(f"  {name}: {reason}")


# --- fit -------------------------------------------------------------------------------------------------------


def fit(run: Run, started: float, stop: stopping.Stop) -> None:
    """Trains; weights.pt, settings.json and history.csv are on disk from every best epoch on."""
    from block.data.augment import photo_augmentation
    from block.model import classification, training
    from block.report import results

    settings, data, outputs = run.settings, run.data, run.outputs
    training.seed_everything(settings.seed)
    device, reason = training.choose_device()
    say(f"Device: {device.type} ({reason})")
    network = classification.build_network(checkpoint.network_shape(run))
    network_facts = initialise(run, network)
    task = classification.ClassificationTask(data.train.labels, len(data.classes))
    recipe = training.Recipe(
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size,
        seed=settings.seed,
        augment=photo_augmentation(data.size) if settings.augment else None,
        deadline=training_deadline(run, started),
    )
    trial.check(run, network, task, device)
    trainer = training.Trainer(network, task, data.train, data.validation, recipe, device)
    history: list[training.Epoch] = []

    def on_epoch(epoch: training.Epoch, judged: "nn.Module") -> None:
        history.append(epoch)
        if epoch.is_best:
            kept = {"epoch": epoch.number, "validation_loss": epoch.validation_loss, "device": device.type}
            checkpoint.save_weights(run, judged, {"network": network_facts, "training": kept})
            stop.last_work = lambda: keep(run, stop)
        results.write_history(outputs.history, history)
        console.epoch_row(
            epoch.number,
            epoch.epochs,
            epoch.train_loss,
            epoch.validation_loss,
            epoch.score,
            epoch.seconds,
            epoch.is_best,
        )

    say(f"Training: up to {recipe.epochs} epochs of {trainer.batches} steps")
    console.epoch_header(task.score_name)
    trainer.fit(on_epoch, console.step)
    if len(history) < settings.epochs:
        warn(f"stopped after {len(history)} of {settings.epochs} epochs to stay within Studio's time limit.")


def initialise(run: Run, network: "nn.Module") -> dict[str, Any]:
    """Puts ImageNet weights into the network where they are wanted and to be had; gives the facts to note."""
    from block.model import backbone
    from block.model.network import count_parameters

    settings = run.settings
    weights = backbone.find(settings.width, settings.classification_cut) if settings.pretrained else None
    random_layers = backbone.load_into(network, weights, run.data.channels) if weights else []
    parameters, file = count_parameters(network), weights.path.name if weights else None
    start = f"ImageNet weights ({file})" if weights else "random weights"
    cut = settings.classification_cut
    say(f"Network: MobileNetV2 {settings.width} cut at {cut}, {parameters:,} parameters, {start}")
    if random_layers:
        say(f"  not in {file}, so they start random: {', '.join(random_layers)}")
    if settings.pretrained and not weights:
        warn(
            f"{backbone.weights_folder()} has no ImageNet weights for width {settings.width}, so the network starts "
            f"random and needs more photos. To get them: python -m block weights --width {settings.width}"
        )
    return {
        "width": settings.width,
        "cut": cut,
        "parameters": parameters,
        "pretrained": file,
        "random_layers": random_layers,
    }


def training_deadline(run: Run, started: float) -> float | None:
    """When training must end so that conversion and scoring fit into Studio's time limit too (time.monotonic())."""
    data, limit = run.data, run.data.max_training_seconds
    if limit is None:
        return None
    scored = sum(len(split) for name, split in data.splits.items() if name != "train")
    relative_work = run.settings.width * (data.size / 96) ** 2
    reserve = EXPORT_RESERVE_SECONDS + SCORING_SECONDS_PER_IMAGE * relative_work * scored
    return started + max(limit - reserve, limit * LEAST_TRAINING_SHARE)


# --- export, score, write down -----------------------------------------------------------------------------------


def finish(run: Run, seconds: dict[str, float]) -> None:
    """Everything after training: from weights.pt to the exports, their scores and the table a person reads.

    `seconds` are those of the stages before; metrics.json has them all. Once the models are there, nothing that
    fails makes the run a failure.
    """
    network, facts = checkpoint.load_weights(run)
    stages = console.Stages(STAGES)
    export_onnx(run, network, stages)
    export_tflite(run, stages)
    try:
        judge(run, network, facts, stages, seconds)
    except Exception as error:
        if run.debug:
            raise
        reason = " ".join(str(error).split())
        warn(f"the models are in {run.outputs.directory}, but judging them failed: {type(error).__name__}: {reason}")
        say(f"To try that again: {console.command('-m', 'block', 'convert', run.outputs.directory)}")


def judge(
    run: Run, network: "nn.Module", facts: dict[str, Any], stages: console.Stages, seconds: dict[str, float]
) -> None:
    """What the models are worth and what they cost a board, written down and shown."""
    from block.measure import footprint

    with stages.run("scores"):
        scores, probabilities = score(run, network)
    with stages.run("memory"):
        costs = footprint.measure(run.outputs.tflite_int8)
    with stages.run("results"):
        write_results(run, facts, scores, probabilities, costs, seconds | stages.seconds)
    reporting.write_report(run, stages)
    summary.describe_results(run.outputs, scores, costs)


def keep(run: Run, stop: stopping.Stop) -> None:
    """After SIGTERM: the models of the best epoch as far as time goes, and a line that says what is there."""
    outputs = run.outputs
    say("SIGTERM came: keeping the best epoch")
    # it may have come between weights.pt and these
    checkpoint.write_settings(run)
    stages = console.Stages(STAGES[:3])
    if not outputs.onnx.exists():
        export_onnx(run, checkpoint.load_weights(run)[0], stages)
    if not outputs.tflite_int8.exists() and stop.seconds_left > TFLITE_SECONDS:
        export_tflite(run, stages)
    models = (outputs.weights, outputs.onnx, outputs.tflite_float32, outputs.tflite_int8)
    say(f"In {outputs.directory}: {', '.join(path.name for path in models if path.exists())}")
    say(f"To finish the run: {console.command('-m', 'block', 'convert', outputs.directory)}")


def export_onnx(run: Run, network: "nn.Module", stages: console.Stages) -> None:
    """model.onnx: the trained network with weights that int8 holds exactly, and a softmax."""
    from block.export import convert, rounding
    from block.model.network import WithSoftmax

    data, outputs = run.data, run.outputs
    with stages.run("ONNX") as notes, console.foreign_output_hidden(run.debug):
        images = convert.calibration_images(data.train.features, convert.ROUNDING_IMAGES)
        rounded = rounding.with_int8_weights(network, images)
        convert.to_onnx(WithSoftmax(rounded), data.size, data.channels, outputs.onnx)
        notes.append(console.size_text(outputs.onnx.stat().st_size))


def export_tflite(run: Run, stages: console.Stages) -> None:
    """model.tflite and model_quantized_int8_io.tflite from model.onnx."""
    from block.export import convert

    data, outputs = run.data, run.outputs
    calibration = convert.calibration_images(data.train.features)
    with TemporaryDirectory() as folder:
        saved_model = Path(folder) / "saved_model"
        with stages.run("TensorFlow Lite float32") as notes, console.foreign_output_hidden(run.debug):
            convert.to_tflite_float32(outputs.onnx, saved_model, outputs.tflite_float32, calibration)
            notes.append(console.size_text(outputs.tflite_float32.stat().st_size))
        with stages.run("TensorFlow Lite int8") as notes, console.foreign_output_hidden(run.debug):
            convert.to_tflite_int8(saved_model, outputs.tflite_int8, calibration)
            notes.append(console.size_text(outputs.tflite_int8.stat().st_size))


def score(run: Run, network: "nn.Module") -> tuple[dict[str, dict[str, "Scores"]], "Probabilities"]:
    """Every runtime on every split but the one that was learned, by split and runtime."""
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
    judged = {name: split for name, split in run.data.splits.items() if name != "train"}
    probabilities = {
        name: {runtime: evaluate.predict_all(predict, split.features) for runtime, predict in predictors.items()}
        for name, split in judged.items()
    }
    for by_runtime in probabilities.values():
        evaluate.check_conversion(by_runtime["onnx"], by_runtime["tflite_float32"])
    scores = {
        name: {
            runtime: evaluate.evaluate(values, judged[name].labels, run.data.classes)
            for runtime, values in by_runtime.items()
        }
        for name, by_runtime in probabilities.items()
    }
    return scores, probabilities


def write_results(
    run: Run,
    facts: dict[str, Any],
    scores: dict[str, dict[str, "Scores"]],
    probabilities: "Probabilities",
    costs: "Footprint",
    seconds: dict[str, float],
) -> None:
    """labels.txt, predictions.csv, metrics.json and deploy.json."""
    from block.report import results

    outputs, data = run.outputs, run.data
    results.write_labels(outputs.labels, data.classes)
    results.write_predictions(outputs.predictions, data, probabilities)
    contract.write_json(
        outputs.metrics, results.metrics(run.settings, data, facts, scores, probabilities, costs, outputs, seconds)
    )
    contract.write_json(outputs.deploy, results.deploy_manifest(run.settings, data, scores, costs))
