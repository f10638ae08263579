"""The story of a run: read, fit, export, judge; `run` tells it, longer chapters have modules of their own."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from block import console
from block.console import say, warn
from block.data import contract, reading
from block.data.contract import Outputs
from block.data.reading import BlockData
from block.errors import BlockError
from block.photos import prepare as photos
from block.photos.folder import first_few
from block.pipeline import checkpoint, export, fit, judge, package, stopping
from block.pipeline.run import Run
from block.report import summary
from block.settings import DETECTION_CHOICES, PREPARATION_CHOICES, PhotoSettings, Settings, changed_flags

if TYPE_CHECKING:
    from block.model.training import Recipe


ChooseRecipe = Callable[[Run, float], "Recipe"]
"""The recipe for a run that began at a time.monotonic()."""


def run(
    settings: Settings,
    debug: bool = False,
    ignored: Sequence[str] = (),
    choose_recipe: ChooseRecipe = fit.training_recipe,
) -> None:
    """Learns from a data directory and fills an output folder; raises BlockError for whatever a person can mend.

    `ignored` are arguments to warn of. `choose_recipe` may train in another way than the settings say.
    """
    started = time.monotonic()
    if ignored:
        warn(f"ignored, not options of this block: {', '.join(ignored)}")
    with stopping.on_signals() as stop:
        check_directories(settings)
        contract.make_folder(settings.out_directory)
        contract.check_free_space(settings.out_directory)
        outputs = Outputs(settings.out_directory)
        run = Run(settings, outputs, read_data(settings, outputs), debug)
        refuse_another_task(run)
        summary.describe_data(run.data)
        warn_of_flags_without_effect(run)
        read = time.monotonic()
        fit.fit(run, choose_recipe(run, started), stop)
        finish(run, {"reading": read - started, "training": time.monotonic() - read})


def convert(out_directory: Path, data_directory: Path | None = None, debug: bool = False) -> None:
    """Makes everything that follows training again, from what an earlier run kept in its output folder."""
    run = checkpoint.resume(out_directory, data_directory, debug)
    contract.check_free_space(out_directory)
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


def refuse_another_task(run: Run) -> None:
    """Refuses a --task that the arrays contradict: what they hold decides what can be learned."""
    asked, data = run.settings.photos.task, run.data
    if asked in (None, data.task):
        return
    held = "boxes around objects" if data.task == "detection" else "a class for each image"
    raise BlockError(
        f"--task {asked}: the arrays in {data.directory} hold {held}, from which only {data.task} can be learned. "
        f"Leave --task out, or name data for {asked} with --data-directory."
    )


def warn_of_flags_without_effect(run: Run) -> None:
    """Names what was asked for and is not done, because it is for other data."""
    parts = []
    if contract.is_block_directory(run.settings.data_directory):
        flags = changed_flags(run.settings.photos, PREPARATION_CHOICES)
        parts += [f"{', '.join(flags)} (for photos; these are arrays)"] if flags else []
    if run.data.task == "classification":
        flags = changed_flags(run.settings, DETECTION_CHOICES)
        parts += [f"{', '.join(flags)} (for detection)"] if flags else []
    if parts:
        warn(f"without effect on this data: {'; '.join(parts)}.")


def prepare(directory: Path, out: Path, how: PhotoSettings, seed: int) -> None:
    """Turns photos into a block directory; says where labels and split came from and what could not be read."""
    prepared = photos.prepare(directory, out, how, seed, track=lambda names: console.track(names, "Photos"))
    preparation = prepared.preparation
    say(f"Task: {prepared.task}; labels from: {preparation.labels_from}; split: {preparation.split_from}")
    if prepared.unused_boxes:
        say("  These photos have boxes too: --task detection learns where objects are")
    if preparation.dropped_boxes:
        warn(
            f"{sum(preparation.dropped_boxes.values())} boxes were left out, for they have no area or lie outside what "
            f"the network sees: on {first_few(list(preparation.dropped_boxes))}."
        )
    for warning in prepared.warnings:
        warn(warning)
    if preparation.skipped:
        warn(f"{len(preparation.skipped)} photos could not be read and were left out:")
        for name, reason in preparation.skipped.items():
            say(f"  {name}: {reason}")


# --- finish ----------------------------------------------------------------------------------------------------


def finish(run: Run, seconds: dict[str, float]) -> None:
    """Everything after training: from weights.pt to the exports, their scores, the library, the page and the summary.

    `seconds` are those of the stages before; metrics.json has them all. Once the models are there, nothing that
    fails makes the run a failure, nor keeps what does not need it from being made.
    """
    network, facts = checkpoint.load_weights(run)
    stages = console.Stages((*export.STAGES, *judge.STAGES, *package.STAGES))
    export.export_onnx(run, network, stages)
    export.export_tflite(run, stages)
    directory = run.outputs.directory
    again = console.command("-m", "block", "convert", directory)
    judgement = None
    with console.tolerated(f"the models are in {directory}, but judging them failed", again, run.debug):
        judgement = judge.judge(run, network, facts, stages, seconds)
    package.package(run, stages)
    if judgement is None:
        return
    package.write_report(run, stages)
    with console.tolerated(f"everything lies in {directory}, but the summary failed", again, run.debug):
        summary.describe_results(
            run.data.task, run.settings.library_name, run.outputs, judgement.scores, judgement.footprint
        )
