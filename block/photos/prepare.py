"""Converts a folder of photos, with labels in any format that is read, to a block directory."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from block.data.boxes import move_boxes
from block.data.preparation import Preparation
from block.data.writing import block_writer
from block.errors import BlockError
from block.photos.advice import advised
from block.photos.boxes import BOX_SOURCES, NoBoxesError, choose_boxes, has_boxes
from block.photos.finding import UNREADABLE_REMEDY, find
from block.photos.folder import PhotoFolder, first_few
from block.photos.foreign import describe_foreign, foreign_labels
from block.photos.formats import NO_SPLITS, GivenSplits, PhotoBoxes, refuse_many_unread
from block.photos.labels import AmbiguousLabelsError, choose_labels
from block.photos.scenes import burst_warnings, series_warnings
from block.photos.splits import choose_splits
from block.photos.versions import version_warnings
from block.settings import PhotoSettings
from block.words import SPLIT_WORDS, SPLITS
from esp32_deploy.photos import UnreadablePhotoError, read_photo, walk
from esp32_deploy.pixels import image_to_input
from esp32_deploy.words import Task


@dataclass(frozen=True)
class Prepared:
    """The result of a preparation. `counts[split][class]` is the number of photos, or of boxes for detection."""

    task: Task
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    preparation: Preparation
    unused_boxes: bool
    """True if a classifier's photos also have boxes, and --labels-from was not given."""
    warnings: tuple[str, ...]
    """Sentences for the user about photos and label files that do not match."""


@dataclass(frozen=True)
class Labelling:
    """The label of each photo: its class, or its boxes."""

    task: Task
    source: str
    labels: Mapping[str, str] | Mapping[str, PhotoBoxes]
    unread: Mapping[str, str] = field(default_factory=dict)
    """The photos whose labels or boxes cannot be read, with the reasons. They are not in `labels`."""
    warnings: tuple[str, ...] = ()
    splits: GivenSplits = NO_SPLITS
    """The splits that the source gives."""

    def classes_on(self, name: str) -> frozenset[str]:
        """The classes on a photo."""
        label = self.labels[name]
        return frozenset([label] if isinstance(label, str) else (box_label for box_label, _ in label))

    @property
    def classes(self) -> tuple[str, ...]:
        """All classes, in the order of the network's outputs."""
        return tuple(sorted(frozenset[str]().union(*map(self.classes_on, self.labels))))


def is_photo_folder(directory: Path) -> bool:
    """True if the directory or a folder below it holds a photo."""
    return directory.is_dir() and any(True for _ in walk(directory))


def prepare(
    photos: Path,
    out: Path,
    how: PhotoSettings,
    seed: int,
    track: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> Prepared:
    """Converts a folder of photos to the block directory `out`, one photo at a time.

    `track` can wrap the list of photo names in a progress bar.
    Raises BlockError if the classes or the split are unclear, if a class has too few photos, or if too many photos
    are unreadable.
    """
    refuse_own_output(photos, out)
    found = find(photos)
    folder, skipped = found.folder, dict(found.skipped)
    with advised(folder, how.task):
        labelling = choose_labelling(folder, how.labels_from, how.task)
        skipped |= labelling.unread
        folder = replace(folder, paths={name: path for name, path in folder.paths.items() if name in labelling.labels})
        classes_on = {name: labelling.classes_on(name) for name in folder.paths}
        splits, split_from = choose_splits(folder, classes_on, seed, labelling.task, labelling.splits)
    warnings = (
        *found.warnings(),
        *labelling.warnings,
        *filter(None, [describe_foreign(foreign_labels(folder))]),
        *burst_warnings(found.times, splits),
        *series_warnings(splits, classes_on),
    )
    classes = labelling.classes
    counts = {split: dict.fromkeys(classes, 0) for split in SPLITS if split in splits.values()}
    dropped_boxes: dict[str, int] = {}
    with block_writer(out, classes, how.size, how.channels, tuple(counts), labelling.task) as writer:
        for name in track(list(folder.paths)):
            try:
                photo = read_photo(folder.paths[name])
            except UnreadablePhotoError as error:
                skipped[name] = error.reason
                continue
            label, indices = _label_for(labelling.labels[name], classes, photo, how)
            pixels = image_to_input(photo, how.size, how.resize, how.channels)
            writer.append(splits[name], pixels, label, name)
            for index in indices:
                counts[splits[name]][classes[index]] += 1
            if labelling.task == "detection" and len(indices) < len(labelling.labels[name]):
                dropped_boxes[name] = len(labelling.labels[name]) - len(indices)
        refuse_many_unread(photos, skipped, len(folder.paths.keys() | skipped.keys()), UNREADABLE_REMEDY)
        _refuse_lost_classes(photos, splits, classes_on, skipped, labelling.task)
        _refuse_classes_without_boxes(photos, counts, how.size)
        writer.preparation = Preparation(
            size=how.size,
            resize=how.resize,
            channels=how.channels,
            labels_from=labelling.source,
            split_from=split_from,
            seed=seed,
            skipped=dict(sorted(skipped.items())),
            dropped_boxes=dropped_boxes,
            warnings=warnings,
        )
    return Prepared(
        labelling.task,
        classes,
        counts,
        writer.preparation,
        unused_boxes=labelling.task == "classification" and how.labels_from is None and has_boxes(folder),
        warnings=(*warnings, *version_warnings(splits)),
    )


def choose_labelling(folder: PhotoFolder, labels_from: str | None, task: Task | None) -> Labelling:
    """The labels of the photos. If `task` is None, boxes are used only if the photos do not have one class each.

    Raises BlockError if no source gives labels for the task, or if sources disagree.
    """
    if task == "detection":
        return _labelled_with_boxes(folder, labels_from)
    try:
        chosen = choose_labels(folder, labels_from)
        return Labelling("classification", chosen.source, chosen.labels, chosen.unread, chosen.warnings, chosen.splits)
    except BlockError as error:
        if task is not None or labels_from not in (None, *BOX_SOURCES):
            raise
        classes_problem = error
    try:
        with_boxes = _labelled_with_boxes(folder, labels_from)
    except NoBoxesError:
        raise classes_problem from None
    except BlockError as boxes_problem:
        if str(boxes_problem) in str(classes_problem):
            raise classes_problem from None
        raise BlockError(f"{classes_problem} Boxes do not work either: {boxes_problem}") from None
    if isinstance(classes_problem, AmbiguousLabelsError):
        raise BlockError(f"{classes_problem} To learn where objects are, use --task detection.")
    return with_boxes


def _labelled_with_boxes(folder: PhotoFolder, labels_from: str | None) -> Labelling:
    drawn = choose_boxes(folder, labels_from)
    return Labelling("detection", drawn.source, drawn.boxes, drawn.unread, drawn.warnings, drawn.splits)


def _label_for(
    label: str | PhotoBoxes, classes: Sequence[str], photo: np.ndarray, how: PhotoSettings
) -> tuple[int | np.ndarray, Sequence[int]]:
    """A photo's label in the block directory, and the class indices in it."""
    if isinstance(label, str):
        index = classes.index(label)
        return index, [index]
    rows = [[classes.index(name), *edges] for name, edges in label]
    boxes = np.array(rows, dtype=float).reshape(-1, 5)
    boxes = move_boxes(boxes, photo.shape[1], photo.shape[0], how.size, how.resize)
    return boxes, boxes[:, 0].tolist()


# --- checks ------------------------------------------------------------------------------------------------


def refuse_own_output(photos: Path, out: Path) -> None:
    """Raises BlockError if `photos` is not a folder, or if `out` lies inside it."""
    if photos.is_file():
        raise BlockError(f"{photos} is a file. Name the folder with the photos; unpack an archive first.")
    if not photos.is_dir():
        raise BlockError(f"{photos} does not exist. Name the folder with the photos.")
    if out.resolve().is_relative_to(photos.resolve()):
        raise BlockError(
            f"The output folder {out} lies inside the photo folder {photos}. The next run would read its "
            "pictures as photos. Choose an output folder outside the photo folder."
        )


def _refuse_lost_classes(
    photos: Path,
    splits: Mapping[str, str],
    classes_on: Mapping[str, frozenset[str]],
    skipped: Iterable[str],
    task: Task,
) -> None:
    # For detection, the validation photos may lack a rare class. The training photos may not.
    needed = SPLITS if task == "classification" else ("train",)
    photos_of: dict[tuple[str, str], list[str]] = {}
    for name, on_photo in classes_on.items():
        for label in on_photo if splits[name] in needed else ():
            photos_of.setdefault((splits[name], label), []).append(name)
    for (split, label), lost in sorted(photos_of.items()):
        if not set(lost) <= set(skipped):
            continue
        raise BlockError(
            f"No {SPLIT_WORDS[split]} photo of class {label!r} in {photos} can be read ({first_few(lost)}). "
            "Replace or remove these photos and run again."
        )


def _refuse_classes_without_boxes(photos: Path, counts: Mapping[str, Mapping[str, int]], size: int) -> None:
    empty = [label for label in counts["train"] if not any(of_split[label] for of_split in counts.values())]
    if empty:
        raise BlockError(
            f"All boxes of class {first_few(empty)} in {photos} are under a pixel on the photo or in the network's "
            f"input of {size} x {size} px, or lie outside the input. Choose a larger --size or another --resize, or "
            "remove the class."
        )
