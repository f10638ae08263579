"""Refuses classes from folders and file names that probably have another meaning."""

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

from block.errors import BlockError
from block.photos.folder import PhotoFolder, first_few
from block.photos.formats import Labels
from block.photos.levels import speaking_folders, split_and_class_folders
from block.photos.names import is_camera_name, stem, without_number
from esp32_deploy.file_kinds import kind_of


class DoubtError(BlockError):
    """Folders or file names can be read in several ways."""


def refuse_doubtful_folders(folder: PhotoFolder, is_asked: bool) -> None:
    """Raises DoubtError if the folder lies too high, or if it is unclear which folders are the classes."""
    levels = folder.levels
    parents = [name.split("/")[:-1] for name in levels.kept]
    common = next((depth for depth, names in enumerate(zip(*parents, strict=False)) if len(set(names)) > 1), 0)
    top = parents[0][:common]
    if top and not levels.split_folders.keys() & set(top):
        raise DoubtError(
            f"All photos lie in {'/'.join(top)}/, and the folders that differ lie below it. Name "
            f"{folder.root.joinpath(*top)} instead of {folder.root}."
        )
    both = split_and_class_folders({names[0] for names in parents if names})
    if both:
        raise DoubtError(
            f"The folders {first_few(both)} name a split and a class at once. Put the folders of the classes into "
            "folders of the splits, such as train/cat and test/cat."
        )
    if levels.shared_level and not is_asked:
        above, below = map(first_few, levels.repeated())
        raise DoubtError(
            f"The same folders ({below}) lie below each of {above}. Which are the classes? If {below}: rename {above} "
            "to train, val or test if they are these sets, or use --labels-from folder, which takes their photos "
            f"together. If {above}: move their photos out of the folders below."
        )


def refuse_empty_folders(folder: PhotoFolder) -> None:
    """Raises DoubtError if a folder beside the class folders has no readable photo, because its class would vanish."""
    class_folders = {path for name in folder.paths if (path := folder.levels.class_path(name))}
    _refuse_empty(folder, _beside(folder, class_folders), "the class folders")


def refuse_empty_splits(folder: PhotoFolder) -> None:
    """Raises DoubtError if a folder beside the split folders speaks of a split and has no readable photo."""
    split_folders = {
        "/".join(parts[: depth + 1])
        for name in folder.levels.splits
        for parts in [name.split("/")[:-1]]
        for depth, part in enumerate(parts)
        if part in folder.levels.split_folders
    }
    beside = [path for path in _beside(folder, split_folders) if speaking_folders([PurePosixPath(path).name])]
    _refuse_empty(folder, beside, "the folders of the splits")


def _beside(folder: PhotoFolder, paths: Iterable[str]) -> list[str]:
    """The folders that lie beside those in `paths`."""
    places = {PurePosixPath(path).parent for path in paths}
    return [path for path in folder.folders if PurePosixPath(path).parent in places]


def _refuse_empty(folder: PhotoFolder, candidates: Iterable[str], known: str) -> None:
    with_photos = {parent.as_posix() for name in folder.paths for parent in PurePosixPath(name).parents}
    for path in candidates:
        if path in with_photos:
            continue
        others = [kind_of(file) for name, file in folder.others.items() if name.startswith(f"{path}/")]
        broken = [name for name in folder.unreadable if name.startswith(f"{path}/")]
        # a folder of labels or notes is neither a class nor a split
        if broken or not others or any(others):
            content = f" Unreadable: {first_few(broken)}." if broken else "" if others else " It is empty."
            raise DoubtError(
                f"The folder {path}/ lies beside {known}, but has no photo that can be read.{content} "
                "Add photos to it, or remove it."
            )


def refuse_doubtful_names(labels: Labels) -> None:
    """Raises BlockError if the file names probably do not begin with classes.

    Raises DoubtError if a number in them may belong to the class.
    """
    counts = Counter(label for (label,) in labels.values())
    camera = {label for name, (label,) in labels.items() if is_camera_name(stem(name.rpartition("/")[2]))}
    doubtful = [label for label, count in counts.items() if count < 2 or label in camera]
    if doubtful:
        raise BlockError(
            f"The file names do not seem to begin with classes. Doubtful: {first_few(doubtful)}. If these are classes, "
            "use --labels-from name."
        )
    numbered: dict[str, list[str]] = {}
    for label in counts:
        numbered.setdefault(without_number(label), []).append(label)
    for label, alike in numbered.items():
        if len(alike) > 1:
            one_class = f"one class, {label}" if label else "only numbers of photos"
            raise DoubtError(
                f"The file names can be read in two ways: {first_few(alike)} can be different classes, or {one_class}. "
                "If they are different classes, use --labels-from name. Otherwise put the photos of each class into a "
                "folder."
            )
