"""The chapter of a run in which a network learns: how it starts, its epochs, and what is kept of them."""

from typing import TYPE_CHECKING, Any

import numpy as np

from block import console
from block.console import say, warn
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
# judging an epoch by few thresholds is quick, and tells epochs apart as well as many
JUDGE_THRESHOLDS = tuple(step / 10 for step in range(1, 10))


def fit(run: Run, started: float, stop: stopping.Stop) -> None:
    """Trains; weights.pt, settings.json and history.csv are on disk from every best epoch on."""
    from block.model import training

    device, reason = training.choose_device()
    say(f"Device: {device.type} ({reason})")
    recipe = training_recipe(run, started)
    facts = learn_with_validation(run, recipe, device, stop)
    if run.data.holdout is not None and recipe.deadline is None:
        learn_from_all(run, recipe, device, facts)


def learn_with_validation(
    run: Run, recipe: "training.Recipe", device: "torch.device", stop: stopping.Stop
) -> dict[str, Any]:
    """Runs all epochs and keeps the best by the validation split; gives the facts noted with it."""
    from block.model import training
    from block.report import results

    settings, data, outputs = run.settings, run.data, run.outputs
    training.seed_everything(settings.seed)
    network, network_facts = start(run)
    report_start(run, network_facts)
    task = learning_task(run, network)
    trial.check(run, network, task, device)
    trainer = training.Trainer(network, task, [data.train], data.validation, recipe, device)
    history: list[training.Epoch] = []
    facts: dict[str, Any] = {}

    def on_epoch(epoch: training.Epoch, judged: "nn.Module") -> None:
        history.append(epoch)
        if epoch.is_best:
            facts["network"] = network_facts
            facts["training"] = {
                "epoch": epoch.number,
                "validation_loss": epoch.validation_loss,
                "validation_score": epoch.score,
                "batch_size": recipe.batch_size,
                "splits": ["train"],
                "device": device.type,
            }
            checkpoint.save_weights(run, judged, facts)
            stop.last_work = lambda: export.keep(run, stop)
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
    return facts


def learn_from_all(run: Run, recipe: "training.Recipe", device: "torch.device", facts: dict[str, Any]) -> None:
    """Learns once more, from the validation photos too, and through the whole schedule: nothing is left to stop it.

    Only where a test set judges the result. A threshold is still the one that validation chose.
    """
    from block.model import training

    data = run.data
    splits = [data.splits[name] for name in TRAINING_SPLITS]
    say(
        f"Training once more, on all {sum(map(len, splits))} images and through all epochs: "
        f"the {len(data.splits['holdout'])} test images judge the result"
    )
    if data.task == "detection":
        facts["training"] |= judge.operating_points(run, checkpoint.load_weights(run)[0])
    training.seed_everything(run.settings.seed)
    network, _ = start(run)
    trainer = training.Trainer(network, learning_task(run, network), splits, None, recipe, device)

    def on_epoch(epoch: training.Epoch, _averaged: "nn.Module") -> None:
        console.epoch_row(
            epoch.number, epoch.epochs, epoch.train_loss, None, None, epoch.seconds, epoch.number == recipe.epochs
        )

    trainer.fit(on_epoch, console.step)
    facts["training"]["splits"] = list(TRAINING_SPLITS)
    checkpoint.save_weights(run, trainer.averaged, facts)


def training_recipe(run: Run, started: float) -> "training.Recipe":
    """The choices of the settings, in training's own words."""
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


def learning_task(run: Run, network: "nn.Module") -> "training.Task":
    """What this run's network is to learn."""
    from block.measure import detections, evaluate
    from block.model import classification, detection

    data, settings = run.data, run.settings
    if data.task == "classification":
        return classification.ClassificationTask(data.train.labels, len(data.classes), evaluate.cross_entropy)

    def judge(grids: np.ndarray, boxes: Any) -> float:
        rows = detections.curve(grids, boxes, data.size, settings.decode, JUDGE_THRESHOLDS)
        return max(row["f1"] for row in rows)

    task = detection.DetectionTask(network_shape(run), settings.loss, settings.decode, judge)
    task.start_from_priors(network, list(data.train.labels))
    return task


def start(run: Run) -> tuple["nn.Module", dict[str, Any]]:
    """A network with ImageNet weights where they are wanted and to be had, and the facts to note."""
    from block.model import backbone
    from block.model.network import count_parameters

    settings = run.settings
    cut = settings.cut_for(run.data.task)
    network = build_network(run)
    weights = backbone.find(settings.width, cut) if settings.pretrained else None
    random_layers = backbone.load_into(network, weights, run.data.channels) if weights else []
    return network, {
        "width": settings.width,
        "cut": cut,
        "parameters": count_parameters(network),
        "pretrained": weights.path.name if weights else None,
        "random_layers": random_layers,
    }


def report_start(run: Run, facts: dict[str, Any]) -> None:
    """The network in a line, and what it starts from."""
    from block.model import backbone

    width, file = facts["width"], facts["pretrained"]
    start = f"ImageNet weights ({file})" if file else "random weights"
    say(f"Network: MobileNetV2 {width} cut at {facts['cut']}, {facts['parameters']:,} parameters, {start}")
    if facts["random_layers"]:
        say(f"  not in {file}, so they start random: {', '.join(facts['random_layers'])}")
    # who asks for attention often cares for what lies on which side
    if network_shape(run).attention and run.settings.augment and run.settings.mirror:
        say("  some images are mirrored; where left and right differ, say --mirror 0")
    if run.settings.pretrained and not file:
        warn(
            f"{backbone.weights_folder()} has no ImageNet weights for width {width}, so the network starts "
            f"random and needs more photos. To get them: {console.command('-m', 'block', 'weights', '--width', width)}"
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
