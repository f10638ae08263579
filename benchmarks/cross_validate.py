"""Cross-validates the training recipe on the training photos of the fruit set. The test photos are not used.

    python benchmarks/cross_validate.py --epochs 60 --learning-rate 0.006

The photos are split into five stratified folds. For each fold, the network is trained on the photos of the other folds;
a fifth of these is the validation split that chooses the epoch. The photos of the fold then score the weights of the
chosen epoch and those of the last epoch.
"""

import copy
import os
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from block_runs import SHARED_DATA, shared_photos, table

from block.data import reading
from block.data.reading import Split
from block.measure import evaluate
from block.model.augment import photo_augmentation
from block.photos.prepare import prepare
from block.settings import AUTO_BATCH_SIZES, PhotoSettings, Settings

FOLDS = 5
SIZE_PX, WIDTH = 96, 0.35


@click.command()
@click.option("--epochs", type=int, default=Settings.epochs, show_default=True)
@click.option("--learning-rate", type=float, default=Settings.learning_rate, show_default=True)
@click.option("--batch-size", type=int, default=AUTO_BATCH_SIZES["classification"], show_default=True)
@click.option("--augment", type=bool, default=True, show_default=True)
@click.option("--seeds", type=int, default=1, show_default=True, help="Number of repeats, each with different folds.")
def main(seeds: int, **recipe: Any) -> None:
    """Print accuracy and loss of a recipe, at the epoch that it keeps and at the last epoch."""
    os.environ.setdefault("BLOCK_WEIGHTS", str(SHARED_DATA / "weights"))
    with tempfile.TemporaryDirectory() as folder:
        examples, classes = training_photos(Path(folder))
        results = [score_fold(examples, classes, seed, fold, recipe) for seed in range(seeds) for fold in range(FOLDS)]
    rows = [["epoch", "accuracy", "loss"]]
    for name in ("kept", "last"):
        accuracy, loss = np.mean([scores[name] for scores in results], axis=0)
        rows.append([name, f"{accuracy:.1%}", f"{loss:.4f}"])
    print(f"{recipe}, {seeds} x {FOLDS} folds of {len(examples)} photos")
    table(rows)


def training_photos(folder: Path) -> tuple[Split, list[str]]:
    """All 240 training photos, prepared as for a run, and the names of the classes."""
    prepare(shared_photos("fruit"), folder / "arrays", PhotoSettings(size=SIZE_PX, labels_from="name"), seed=0)
    data = reading.read(folder / "arrays")
    features = np.concatenate([data.train.features, data.validation.features])
    labels = np.concatenate([data.train.labels, data.validation.labels])
    return Split(features, labels, data.train.sample_names + data.validation.sample_names), list(data.classes)


def score_fold(
    examples: Split, classes: list[str], seed: int, fold: int, recipe: dict[str, Any]
) -> dict[str, tuple[float, float]]:
    """Accuracy and loss of the kept and of the last epoch on one fold."""
    from block.export import runtimes
    from block.model import backbone, classification, training
    from block.model.network import NetworkShape, WithSoftmax

    folds = stratified_folds(examples.labels, seed)
    pool, test = subset(examples, folds != fold), subset(examples, folds == fold)
    validates = stratified_folds(pool.labels, seed + 1) == 0
    train, validation = subset(pool, ~validates), subset(pool, validates)
    training.seed_everything(seed)
    network = classification.build_network(NetworkShape(WIDTH, "block_5", 3, len(classes), SIZE_PX))
    weights = backbone.find(WIDTH, "block_5")
    if weights is None:
        raise SystemExit("This benchmark needs ImageNet weights. Download them with python -m block weights.")
    backbone.load_into(network, weights, 3)
    augment = photo_augmentation() if recipe["augment"] else None
    choices = training.Recipe(**{**recipe, "augment": augment, "seed": seed})
    task = classification.ClassificationTask(train.labels, len(classes), evaluate.cross_entropy)
    kept: dict[str, Any] = {}

    def keep(epoch: training.Epoch, averaged: Any) -> None:
        kept["last"] = averaged
        if epoch.is_kept:
            kept["kept"] = copy.deepcopy(averaged)

    trainer = training.Trainer(network, task, [train], validation, choices, training.choose_device()[0])
    trainer.fit(keep, lambda *_: None)
    scores = {}
    for name, chosen in kept.items():
        predict = runtimes.torch_predict(WithSoftmax(chosen))
        result = evaluate.evaluate(evaluate.predict_all(predict, test.features), test.labels, classes)
        scores[name] = (result.accuracy, result.loss)
    return scores


def stratified_folds(labels: np.ndarray, seed: int) -> np.ndarray:
    """A fold number for each photo (N,). The photos of each class are spread evenly."""
    generator = np.random.default_rng(seed)
    folds = np.zeros(len(labels), dtype=int)
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        folds[rows] = np.arange(len(rows)) % FOLDS
    return folds


def subset(examples: Split, chosen: np.ndarray) -> Split:
    """The examples that a boolean mask (N,) selects."""
    names = tuple(name for name, is_chosen in zip(examples.sample_names, chosen, strict=True) if is_chosen)
    return Split(examples.features[chosen], examples.labels[chosen], names)


if __name__ == "__main__":
    main()
