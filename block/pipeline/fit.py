"""The chapter of a run in which a network learns: how it starts, its epochs, and what is kept of them."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from block import console
from block.console import say, warn
from block.facts import Facts, NetworkFacts, TrainingFacts
from block.pipeline import checkpoint, export, judge, stopping, trial
from block.pipeline.run import Run, build_network, network_shape
from block.words import TRAINING_SPLITS

if TYPE_CHECKING:
    import torch
    from torch import nn

    from block.model import training

# held back from Studio's time limit for what follows training: imports and conversion, then each scored image;
# seconds for all four runtimes at width 1.0 and 96 px on a busy machine, in proportion to the network's work
EXPORT_RESERVE_SECONDS = 90.0
SCORING_SECONDS_PER_IMAGE = 0.25
# of a short time limit at least this share is spent on training
LEAST_TRAINING_SHARE = 0.3
# few thresholds are quick to try, and compare epochs as well as many
EPOCH_THRESHOLDS = tuple(step / 10 for step in range(1, 10))


def fit(run: Run, recipe: "training.Recipe", stop: stopping.Stop) -> None:
    """Trains; weights.pt, settings.json and history.csv are on disk from every best epoch on."""
    from block.model import training

    device, reason = training.choose_device()
    say(f"Device: {device.type} ({reason})")
    facts = train_with_validation(run, recipe, device, stop)
    if run.data.holdout is not None and recipe.deadline is None:
        train_on_all(run, recipe, device, facts)


def train_with_validation(run: Run, recipe: "training.Recipe", device: "torch.device", stop: stopping.Stop) -> Facts:
    """Runs all epochs and keeps the best by the validation split; returns the facts noted with it."""
    from block.model import training
    from block.report import results

    settings, data, outputs = run.settings, run.data, run.outputs
    training.seed_everything(settings.seed)
    network, network_facts = start(run)
    report_start(run, network_facts)
    task = training_task(run, network)
    trial.check(run, network, task, device)
    trainer = training.Trainer(network, task, [data.train], data.validation, recipe, device)
    history: list[training.Epoch] = []
    kept: list[Facts] = []

    def on_epoch(epoch: training.Epoch, averaged: "nn.Module") -> None:
        history.append(epoch)
        if epoch.is_best:
            kept.append(Facts(network_facts, facts_of_epoch(epoch, recipe, device)))
            checkpoint.save_weights(run, averaged, kept[-1])
            stop.last_work = lambda: export.finish_early(run, stop)
        results.write_history(outputs.history, history)
        show_epoch(epoch, epoch.is_best)

    say(f"Training: up to {recipe.epochs} epochs of {trainer.batches} steps")
    console.epoch_header(task.score_name)
    trainer.fit(on_epoch, console.step)
    if len(history) < settings.epochs:
        warn(f"stopped after {len(history)} of {settings.epochs} epochs to stay within Studio's time limit.")
    return kept[-1]


def show_epoch(epoch: "training.Epoch", is_kept: bool) -> None:
    """Prints the row of an epoch."""
    console.epoch_row(
        epoch.number, epoch.epochs, epoch.train_loss, epoch.validation_loss, epoch.score, epoch.seconds, is_kept
    )


def facts_of_epoch(epoch: "training.Epoch", recipe: "training.Recipe", device: "torch.device") -> TrainingFacts:
    """How the network of a validated epoch was trained."""
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
    """Trains once more, on the validation photos too and through the whole schedule.

    Only where a test set judges the result, for nothing is left that could choose an epoch. The operating point stays
    the one that validation chose for the first network.
    """
    from block.model import training

    data = run.data
    splits = [data.splits[name] for name in TRAINING_SPLITS]
    say(
        f"Training once more, on all {sum(map(len, splits))} images and through all epochs: "
        f"the {len(data.splits['holdout'])} test images judge the result"
    )
    operating = judge.operating_point(run, checkpoint.load_weights(run)[0])
    training.seed_everything(run.settings.seed)
    network, _ = start(run)
    trainer = training.Trainer(network, training_task(run, network), splits, None, recipe, device)

    def on_epoch(epoch: training.Epoch, _averaged: "nn.Module") -> None:
        show_epoch(epoch, is_kept=epoch.number == recipe.epochs)

    trainer.fit(on_epoch, console.step)
    trained = replace(facts.training, splits=TRAINING_SPLITS)
    checkpoint.save_weights(run, trainer.averaged, replace(facts, training=trained, operating=operating))


def training_recipe(run: Run, started: float) -> "training.Recipe":
    """The recipe that the settings choose; `started` is when the run began (time.monotonic())."""
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
    """What this run's network is to learn."""
    from block.measure import detections, evaluate
    from block.model import classification, detection

    data, settings = run.data, run.settings
    if data.task == "classification":
        return classification.ClassificationTask(data.train.labels, len(data.classes), evaluate.cross_entropy)

    def best_f1(grids: np.ndarray, boxes: Any) -> float:
        curve = detections.curve(grids, boxes, data.size, settings.decode, EPOCH_THRESHOLDS)
        return max(point.f1 for point in curve)

    task = detection.DetectionTask(network_shape(run), settings.loss, settings.decode, best_f1)
    task.start_from_priors(network, list(data.train.labels))
    return task


def start(run: Run) -> tuple["nn.Module", NetworkFacts]:
    """The network before training, with ImageNet weights where they are wanted and available, and what it is."""
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
    """Prints the network in a line, and what it starts from."""
    from block.model import backbone

    file = facts.pretrained
    start = f"ImageNet weights ({file})" if file else "random weights"
    say(f"Network: MobileNetV2 {facts.width} cut at {facts.cut}, {facts.parameters:,} parameters, {start}")
    if facts.random_layers:
        say(f"  not in {file}, so they start random: {', '.join(facts.random_layers)}")
    # attention is often used where it matters which side an object is on
    if network_shape(run).attention and run.settings.augment and run.settings.mirror:
        say("  some images are mirrored; where left and right differ, say --mirror 0")
    if run.settings.pretrained and not file:
        command = console.command("-m", "block", "weights", "--width", facts.width)
        warn(
            f"{backbone.weights_folder()} has no ImageNet weights for width {facts.width}, so the network starts from "
            f"random weights and needs more photos. To get them: {command}"
        )


def training_deadline(run: Run, started: float) -> float | None:
    """When training must end so that conversion and scoring fit into Studio's time limit too (time.monotonic())."""
    data, limit = run.data, run.data.max_training_seconds
    if limit is None:
        return None
    scored = sum(len(split) for name, split in data.splits.items() if name != "train")
    relative_work = run.settings.width * (data.size / 96) ** 2
    reserve = EXPORT_RESERVE_SECONDS + SCORING_SECONDS_PER_IMAGE * relative_work * scored
    return started + max(limit - reserve, limit * LEAST_TRAINING_SHARE)
