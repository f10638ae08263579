"""The training stage of a run: initial weights, epochs, and the checkpoint of the epoch that is kept."""

from dataclasses import replace
from statistics import mean
from typing import TYPE_CHECKING, Any

import numpy as np

from block import console
from block.console import say, warn
from block.facts import Facts, NetworkFacts, TrainingFacts
from block.pipeline import checkpoint, export, operate, stopping, trial
from block.pipeline.run import Run, build_network, network_shape
from block.words import TRAINING_SPLITS

if TYPE_CHECKING:
    import torch
    from torch import nn

    from block.model import training

# Part of Studio's time limit that is reserved for the stages after training. The first figure covers imports and
# conversion. The second is the time to score one image with all four runtimes, at width 1.0 and 96 px on a busy
# machine; it is scaled by width and pixel count.
EXPORT_RESERVE_SECONDS = 90.0
SCORING_SECONDS_PER_IMAGE = 0.25
# least share of a short time limit that is used for training
LEAST_TRAINING_SHARE = 0.3
# A learning rate below the first figure is low. Times the number of epochs it should reach the second figure: in
# docs/experiments.md, 0.03 cost 5 to 10 points of accuracy and 0.06 less than 2.
LOW_LEARNING_RATE, LEAST_RATE_TIMES_EPOCHS = 0.003, 0.05
# Few thresholds are enough to compare epochs, and they save time.
EPOCH_THRESHOLDS = tuple(step / 10 for step in range(1, 10))
# "fuse" trains for 0.5: an epoch counts by what it finds around it, not by one lucky threshold
FUSED_EPOCH_THRESHOLDS = (0.32, 0.41, 0.5, 0.59, 0.68)


def fit(run: Run, recipe: "training.Recipe", stop: stopping.Stop) -> None:
    """Trains the network. Each new best epoch writes weights.pt and settings.json, and each epoch history.csv."""
    from block.model import training

    device, reason = training.choose_device()
    say(f"Device: {device.type} ({reason})")
    facts = train_with_validation(run, recipe, device, stop)
    if run.data.holdout is not None and recipe.deadline is None:
        train_on_all(run, recipe, device, facts)


def train_with_validation(run: Run, recipe: "training.Recipe", device: "torch.device", stop: stopping.Stop) -> Facts:
    """Runs all epochs, saves the best one by its validation score, and returns its facts."""
    from block.model import training
    from block.report import results

    settings, data, outputs = run.settings, run.data, run.outputs
    training.seed_everything(settings.seed)
    network, network_facts = start(run)
    report_start(run, network_facts)
    warn_of_low_learning_rate(settings.epochs, settings.learning_rate)
    task = training_task(run, network)
    trial.check(run, network, task, device)
    trainer = training.Trainer(network, task, [data.train], data.validation, recipe, device)
    history: list[training.Epoch] = []
    kept: list[Facts] = []

    def on_epoch(epoch: training.Epoch, averaged: "nn.Module") -> None:
        history.append(epoch)
        if epoch.is_kept:
            kept.append(Facts(network_facts, facts_of_epoch(epoch, recipe, device)))
            checkpoint.save_weights(run, averaged, kept[-1], history)
            stop.last_work = lambda: export.finish_early(run, stop)
        else:
            results.write_history(outputs.history, history)
        show_epoch(epoch, epoch.is_kept)

    say(f"Training: up to {recipe.epochs} epochs of {trainer.batches} steps")
    console.epoch_header(task.score_name)
    trainer.fit(on_epoch, console.step)
    if len(history) < settings.epochs:
        warn(f"training ended after {len(history)} of {settings.epochs} epochs to stay within Studio's time limit.")
    return kept[-1]


def show_epoch(epoch: "training.Epoch", is_kept: bool) -> None:
    """Prints the table row of an epoch."""
    console.epoch_row(
        epoch.number, epoch.epochs, epoch.train_loss, epoch.validation_loss, epoch.score, epoch.seconds, is_kept
    )


def facts_of_epoch(epoch: "training.Epoch", recipe: "training.Recipe", device: "torch.device") -> TrainingFacts:
    """The training facts of a validated epoch. Raises ValueError if the epoch was not validated."""
    if epoch.validation_loss is None or epoch.score is None:
        raise ValueError(f"epoch {epoch.number} was not validated")
    return TrainingFacts(
        epoch=epoch.number,
        validation_loss=epoch.validation_loss,
        validation_score=epoch.score,
        batch_size=recipe.batch_size,
        splits=("train",),
        device=device.type,
    )


def train_on_all(run: Run, recipe: "training.Recipe", device: "torch.device", facts: Facts) -> None:
    """Trains a second network on training and validation photos together, for the whole schedule.

    This needs a test set for the scores, because no validation photos are left. The last epoch is kept. The operating
    point is the one chosen with the first network on the validation photos.
    """
    from block.model import training

    data = run.data
    splits = [data.splits[name] for name in TRAINING_SPLITS]
    say(
        f"Training again for all epochs, on all {sum(map(len, splits))} training and validation images. "
        f"The {len(data.splits['holdout'])} test images measure the result"
    )
    operating = operate.operating_point(run, checkpoint.load_weights(run)[0])
    training.seed_everything(run.settings.seed)
    network, _ = start(run)
    trainer = training.Trainer(network, training_task(run, network), splits, None, recipe, device)

    def on_epoch(epoch: training.Epoch, _averaged: "nn.Module") -> None:
        show_epoch(epoch, is_kept=epoch.number == recipe.epochs)

    trainer.fit(on_epoch, console.step)
    trained = replace(facts.training, splits=TRAINING_SPLITS)
    checkpoint.save_weights(run, trainer.averaged, replace(facts, training=trained, operating=operating))


def training_recipe(run: Run, started: float) -> "training.Recipe":
    """The training recipe from the settings. `started` is when the run began (time.monotonic())."""
    from block.model import augment, training

    settings, data = run.settings, run.data
    augmentation = None
    if settings.augment and data.task == "detection":
        augmentation = augment.box_augmentation(data.size, settings.mirror)
    elif settings.augment:
        augmentation = augment.photo_augmentation(settings.mirror)
    return training.Recipe(
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch_size_for(data.task),
        seed=settings.seed,
        augment=augmentation,
        deadline=training_deadline(run, started),
    )


def training_task(run: Run, network: "nn.Module") -> "training.Task":
    """The training task of this run: targets, loss and validation score."""
    from block.measure import detections, evaluate
    from block.model import classification, detection

    data, settings = run.data, run.settings
    if data.task == "classification":
        return classification.ClassificationTask(data.train.labels, len(data.classes), evaluate.cross_entropy)

    def mean_f1(grids: np.ndarray, boxes: Any) -> float:
        curve = detections.curve(grids, boxes, data.size, settings.decode, FUSED_EPOCH_THRESHOLDS)
        return mean(point.f1 for point in curve)

    def best_f1(grids: np.ndarray, boxes: Any) -> float:
        curve = detections.curve(grids, boxes, data.size, settings.decode, EPOCH_THRESHOLDS)
        return max(point.f1 for point in curve)

    shape, objects = network_shape(run), sum(map(len, data.validation.labels))
    if settings.decode == "fuse" and settings.loss == "softmax":
        task = detection.DetectionTask(
            shape, settings.loss, settings.decode, mean_f1, lambda f1: evaluate.standard_error(f1, objects)
        )
    else:
        task = detection.DetectionTask(shape, settings.loss, settings.decode, best_f1)
    task.start_from_priors(network, list(data.train.labels))
    return task


def start(run: Run) -> tuple["nn.Module", NetworkFacts]:
    """The network before training and its facts. It has ImageNet weights if they are wanted and available."""
    from block.model import backbone
    from block.model.network import count_parameters

    settings = run.settings
    cut = settings.cut_for(run.data.task)
    network = build_network(run)
    weights = backbone.find(settings.width, cut) if settings.pretrained else None
    random_layers = backbone.load_into(network, weights, run.data.channels) if weights else []
    return network, NetworkFacts(
        width=settings.width,
        cut=cut,
        parameters=count_parameters(network),
        pretrained=weights.path.name if weights else None,
        random_layers=tuple(random_layers),
    )


def report_start(run: Run, facts: NetworkFacts) -> None:
    """Prints the network, its size and its initial weights."""
    from block.model import backbone

    file = facts.pretrained
    start = f"ImageNet weights ({file})" if file else "random weights"
    say(f"Network: MobileNetV2 {facts.width} cut at {facts.cut}, {facts.parameters:,} parameters, {start}")
    if facts.random_layers:
        say(f"  these layers are not in {file} and start from random weights: {', '.join(facts.random_layers)}")
    # Attention is often used for data in which left and right differ.
    if network_shape(run).attention and run.settings.augment and run.settings.mirror:
        say("  some images are mirrored. If left and right differ in your photos, use --mirror 0")
    if run.settings.pretrained and not file:
        command = console.command("-m", "block", "weights", "--width", facts.width)
        warn(
            f"{backbone.weights_folder()} has no ImageNet weights for width {facts.width}. The network starts from "
            f"random weights and needs more photos. To download the weights: {command}"
        )


def warn_of_low_learning_rate(epochs: int, learning_rate: float) -> None:
    """Warns if the network will hardly change, with the remedy."""
    if learning_rate < LOW_LEARNING_RATE and learning_rate * epochs < LEAST_RATE_TIMES_EPOCHS:
        warn(
            f"--learning-rate {learning_rate:g} is low for {epochs} epochs (training cycles). On other photos it cost "
            "5 to 10 points of accuracy. Try --learning-rate 0.01, or the defaults: 60 epochs and 0.006."
        )


def training_deadline(run: Run, started: float) -> float | None:
    """The time.monotonic() at which training must end, so that export and scoring fit into Studio's time limit.

    None means that there is no limit.
    """
    data, limit = run.data, run.data.max_training_seconds
    if limit is None:
        return None
    scored = sum(len(split) for name, split in data.splits.items() if name != "train")
    relative_work = run.settings.width * (data.size / 96) ** 2
    reserve = EXPORT_RESERVE_SECONDS + SCORING_SECONDS_PER_IMAGE * relative_work * scored
    return started + max(limit - reserve, limit * LEAST_TRAINING_SHARE)
