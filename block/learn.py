"""A run from start to end: read the data, train, export, score. The long stages are modules of block.pipeline."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from block import console
from block.console import say, warn
from block.data import contract, reading
from block.data.claim import claimed
from block.data.contract import Outputs
from block.data.reading import BlockData
from block.errors import BlockError
from block.photos import prepare as photos
from block.photos.folder import first_few
from block.pipeline import checkpoint, export, fit, judge, operate, package, stopping
from block.pipeline.run import Run
from block.report import summary
from block.settings import DETECTION_CHOICES, PREPARATION_CHOICES, PhotoSettings, Settings, changed_flags
from esp32_deploy import photos as photo_files

if TYPE_CHECKING:
    from block.model.training import Recipe


ChooseRecipe = Callable[[Run, float], "Recipe"]
"""Makes the training recipe. Its arguments are the run and the time at which it began (time.monotonic())."""


def run(
    settings: Settings,
    debug: bool = False,
    ignored: Sequence[str] = (),
    choose_recipe: ChooseRecipe = fit.training_recipe,
) -> None:
    """Trains on a data directory and fills the output folder. Raises BlockError for errors that the user can fix.

    `ignored` are unknown arguments; a warning names them. `choose_recipe` can replace the recipe of the settings.
    """
    started = time.monotonic()
    if ignored:
        warn(f"these arguments are ignored because they are not options of this block: {', '.join(ignored)}")
    check_directories(settings)
    contract.make_folder(settings.out_directory)
    with claimed(settings.out_directory) as release, stopping.on_signals(at_end=release) as stop:
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
    """Repeats all stages after training, from weights.pt and settings.json in the output folder of an earlier run."""
    checkpoint.read_settings(Outputs(out_directory))
    with claimed(out_directory):
        run = checkpoint.resume(out_directory, data_directory, debug)
        contract.check_free_space(out_directory)
        finish(run, {})


# --- read ------------------------------------------------------------------------------------------------------


def check_directories(settings: Settings) -> None:
    """Raises BlockError if the data directory holds no data. Nothing has been written at that time."""
    directory = settings.data_directory
    if not directory.is_dir():
        raise BlockError(
            f"--data-directory {directory} is not a folder. Name the folder with Studio's arrays or with photos."
        )
    if contract.is_block_directory(directory):
        return
    if not photos.is_photo_folder(directory):
        raise BlockError(
            f"--data-directory {directory} holds neither Studio's arrays "
            f"({contract.FEATURE_FILES['train']} and the others) nor photos. {photo_files.what_photos_are(directory)}"
        )
    photos.refuse_own_output(directory, settings.out_directory)


def read_data(settings: Settings, outputs: Outputs) -> BlockData:
    """The images and labels. A folder of photos is first converted to arrays in the output folder."""
    directory = settings.data_directory
    if not contract.is_block_directory(directory):
        say(f"{directory} is a folder of photos. Writing its arrays to {outputs.prepared}")
        prepare(directory, outputs.prepared, settings.photos, settings.seed)
        directory = outputs.prepared
    with console.heartbeat("Reading the arrays"):
        return reading.read(directory, settings.info_file)


def refuse_another_task(run: Run) -> None:
    """Raises BlockError if --task does not fit the labels of the arrays."""
    asked, data = run.settings.photos.task, run.data
    if asked in (None, data.task):
        return
    labels = "boxes around objects" if data.task == "detection" else "one class per image"
    raise BlockError(
        f"--task {asked}: the labels of the arrays in {data.directory} are {labels}. They allow only {data.task}. "
        f"Leave --task out, or name data for {asked} with --data-directory."
    )


def warn_of_flags_without_effect(run: Run) -> None:
    """Warns of options that have no effect on this data."""
    parts = []
    if contract.is_block_directory(run.settings.data_directory):
        flags = changed_flags(run.settings.photos, PREPARATION_CHOICES)
        parts += [f"{', '.join(flags)} (only for photos; this data is arrays)"] if flags else []
    if run.data.task == "classification":
        flags = changed_flags(run.settings, DETECTION_CHOICES)
        parts += [f"{', '.join(flags)} (only for detection)"] if flags else []
    if parts:
        warn(f"these options have no effect on this data: {'; '.join(parts)}.")


def prepare(directory: Path, out: Path, how: PhotoSettings, seed: int) -> None:
    """Converts photos to a block directory. Prints the source of labels and split, and which photos were unreadable."""
    prepared = photos.prepare(directory, out, how, seed, track=lambda names: console.track(names, "Photos"))
    preparation = prepared.preparation
    say(f"Task: {prepared.task}; labels from: {preparation.labels_from}; split: {preparation.split_from}")
    if prepared.unused_boxes:
        say("  These photos also have boxes. To learn where objects are, use --task detection")
    if preparation.dropped_boxes:
        warn(
            f"{sum(preparation.dropped_boxes.values())} boxes were left out because they are under a pixel on the "
            "photo or in the network's input, or lie outside the input. Photos: "
            f"{first_few(list(preparation.dropped_boxes))}."
        )
    for warning in prepared.warnings:
        warn(warning)
    if preparation.skipped:
        warn(f"{len(preparation.skipped)} photos were left out because they or their labels could not be read:")
        for name, reason in preparation.skipped.items():
            say(f"  {name}: {reason}")


# --- finish ----------------------------------------------------------------------------------------------------


def finish(run: Run, seconds: dict[str, float]) -> None:
    """All stages after training: exports from weights.pt, scores, Arduino library, report and summary.

    `seconds` are the durations of the earlier stages; metrics.json lists them with the later ones. If a stage after
    the export fails, the run warns and continues with the stages that do not need it.
    """
    with console.heartbeat("Operating point"):
        network, facts = operate.load_exported(run)
    # Otherwise an interruption could leave scores of the earlier models beside new models.
    checkpoint.delete_results(run)
    stages = console.Stages((*export.STAGES, *judge.STAGES, *package.STAGES))
    export.export_onnx(run, network, stages)
    export.export_tflite(run, stages)
    directory = run.outputs.directory
    again = console.command("-m", "block", "convert", directory)
    judgement = None
    with console.tolerated(f"the models are in {directory}, but scoring them failed", again, run.debug):
        judgement = judge.judge(run, network, facts, stages, seconds)
    package.package(run, stages)
    if judgement is None:
        return
    package.write_report(run, stages)
    with console.tolerated(f"all results are in {directory}, but the summary failed", again, run.debug):
        summary.describe_results(
            run.data.task,
            run.settings.library_name,
            run.outputs,
            judgement.operating,
            judgement.scores,
            judgement.footprint,
        )
