"""Folders of photos, Pascal VOC data sets and Edge Impulse exports -> a block directory.

Photos are named by their path below the folder, with slashes; every decision is made on these names, so that
neither the operating system nor the order of its directories can change a split.
"""

import hashlib
import os
import posixpath
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from block.data.contract import SPLITS, BlockWriter, read_json
from block.errors import BlockError
from esp32_deploy.pixels import image_to_input

LABEL_SOURCES = ("folder", "name", "voc", "export")

PHOTO_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"))
SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "holdout",
    "testing": "holdout",
}
# Pascal VOC's lists of photos; the later ones are more particular and override the earlier.
VOC_LISTS = {"trainval": "train", "train": "train", "val": "validation", "test": "holdout"}
# Edge Impulse's categories; "split" leaves the decision to whoever reads the file.
EXPORT_CATEGORIES = {"training": "train", "split": "train", "testing": "holdout"}
EXPORT_FILES = ("info.labels", "bounding_boxes.labels")

VALIDATION_PERCENT = 20
UNREADABLE_PERCENT = 10
EXAMPLES = 3
# What cameras and programs call their photos does not tell what is on them.
CAMERA_NAMES = frozenset(
    (
        "capture",
        "dsc",
        "dscf",
        "dscn",
        "frame",
        "image",
        "img",
        "mvimg",
        "p",
        "photo",
        "pic",
        "picture",
        "pxl",
        "screenshot",
        "win",
    )
)

# What a source calls each photo: no class, one, or several where boxes of several classes lie on it.
Labels = dict[str, frozenset[str]]


@dataclass(frozen=True)
class Preparation:
    """What became of the photos, for the console; `counts[split][class]` photos were written."""

    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    labels_from: str
    split_from: str
    skipped: tuple[tuple[str, str], ...]  # name, reason


class UnreadablePhotoError(BlockError):
    """A file that cannot be decoded; `reason` says why without naming the file."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read as a photo: {reason}.")
        self.reason = reason


@dataclass(frozen=True)
class _Folder:
    root: Path
    paths: dict[str, Path]  # by name, sorted by name


def is_photo_folder(directory: Path) -> bool:
    """True when a photo lies in the directory or anywhere below it."""
    return directory.is_dir() and any(True for _ in _walk(directory))


def prepare(
    photos: Path,
    out: Path,
    *,
    size: int,
    resize_mode: str,
    channels: int,
    labels_from: str | None,
    seed: int,
    track: Callable[[Sequence[str]], Iterable[str]] = iter,
) -> Preparation:
    """Turns a folder of photos into the block directory `out` for a classifier, one photo at a time.

    `size` (px), `resize_mode` and `channels` are those of `pixels.image_to_input`. `labels_from` is one of
    LABEL_SOURCES, or None for the one that fits. `track` wraps the list of photo names in a progress bar.
    Raises BlockError when the classes or the split are unclear, when a class has too few photos, and when
    too many photos are unreadable.
    """
    _refuse_own_output(photos, out)
    folder, skipped = _readable_photos(photos)
    source, labels = _choose_labels(folder, labels_from)
    splits, split_from = _choose_splits(folder, labels, seed)
    plan = {name: (splits[name], labels[name]) for name in folder.paths}
    classes = tuple(sorted(set(labels.values())))
    # `skipped` grows while photos are read; BlockWriter writes this dictionary last.
    preparation = {
        "size": size,
        "resize_mode": resize_mode,
        "channels": channels,
        "labels_from": source,
        "split_from": split_from,
        "seed": seed,
        "skipped": skipped,
    }
    used = [split for split in SPLITS if split in splits.values()]
    with BlockWriter(out, classes, size, channels, preparation, used) as writer:
        for name in track(list(plan)):
            try:
                pixels = image_to_input(read_photo(folder.paths[name]), size, resize_mode, channels)
            except UnreadablePhotoError as error:
                skipped[name] = error.reason
            else:
                writer.append(plan[name][0], pixels, classes.index(plan[name][1]), name)
        _refuse_many_unreadable(photos, skipped, len(plan.keys() | skipped.keys()))
        _refuse_lost_classes(photos, plan, skipped)
    written = Counter(row for name, row in plan.items() if name not in skipped)
    counts = {split: {label: written[split, label] for label in classes} for split in used}
    return Preparation(classes, counts, source, split_from, tuple(sorted(skipped.items())))


def read_photo(path: Path) -> np.ndarray:
    """Decodes a photo upright, as a person sees it on white paper: (H, W, 3) uint8 RGB.

    Raises UnreadablePhotoError when the file is broken, no photo, or large enough to be an attack.
    """
    with _opened(path) as image:
        ImageOps.exif_transpose(image, in_place=True)
        return _to_rgb(image)


# --- finding and decoding photos ---------------------------------------------------------------------------


def _refuse_own_output(photos: Path, out: Path) -> None:
    if photos.is_file():
        raise BlockError(f"{photos} is a file; give the folder with the photos (unpack archives first).")
    if not photos.is_dir():
        raise BlockError(f"{photos} does not exist; give the folder with the photos.")
    if out.resolve().is_relative_to(photos.resolve()):
        raise BlockError(
            f"The output {out} lies inside the photo folder {photos}, where results would be "
            "taken for photos the next time; choose an output folder outside it."
        )


def _readable_photos(photos: Path) -> tuple[_Folder, dict[str, str]]:
    """The photos whose header can be read, and the reasons why others cannot."""
    found = dict(sorted((_name(path, photos), path) for path in _walk(photos)))
    if not found:
        raise BlockError(
            f"There are no photos in {photos} or its folders; photos end in {', '.join(sorted(PHOTO_SUFFIXES))}."
        )
    skipped: dict[str, str] = {}
    for name, path in found.items():
        try:
            with _opened(path):
                pass
        except UnreadablePhotoError as error:
            skipped[name] = error.reason
    _refuse_many_unreadable(photos, skipped, len(found))
    return _Folder(photos, {name: path for name, path in found.items() if name not in skipped}), skipped


def _walk(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:  # a link back to a folder that it lies in
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise BlockError(f"{folder} cannot be listed: {error.strerror}.") from error
    for path in entries:
        if path.name.startswith(".") or path.name == "__MACOSX":
            continue
        if path.is_dir():
            yield from _walk(path, (*above, real))
        elif path.suffix.lower() in PHOTO_SUFFIXES:
            yield path


def _name(path: Path, root: Path) -> str:
    relative = os.fsencode(path.relative_to(root).as_posix())
    # macOS stores accents apart from their letters; names that are not UTF-8 come from old archives.
    return unicodedata.normalize("NFC", relative.decode("utf-8", "backslashreplace"))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                yield image
    except Exception as error:  # a broken file can raise almost anything in Pillow's readers
        raise UnreadablePhotoError(path, _reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture in a format that Pillow reads"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"larger than {(Image.MAX_IMAGE_PIXELS or 0) // 10**6} megapixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror  # without the path, which str(error) would add
    return str(error) or type(error).__name__


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        return _rgb_from_16_bit(np.asarray(image))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range; save it with 8 bits")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), _in_mode(image, "RGBA"))
    return np.asarray(_in_mode(image, "RGB"))


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # convert always copies, and photos are big


def _rgb_from_16_bit(gray: np.ndarray) -> np.ndarray:
    if gray.min() < 0 or gray.max() > 65535:
        raise ValueError("its pixels have 32 bits of unknown range; save it with 8 bits")
    eight_bit = ((gray.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return np.repeat(eight_bit[:, :, None], 3, axis=2)


def _refuse_many_unreadable(photos: Path, skipped: Mapping[str, str], total: int) -> None:
    if len(skipped) * 100 > total * UNREADABLE_PERCENT:
        first = "; ".join(f"{name}: {reason}" for name, reason in sorted(skipped.items())[:EXAMPLES])
        raise BlockError(
            f"{len(skipped)} of {total} photos in {photos} cannot be read, more than "
            f"{UNREADABLE_PERCENT} % ({first}). Replace or remove them."
        )


def _refuse_lost_classes(photos: Path, plan: Mapping[str, tuple[str, str]], skipped: Iterable[str]) -> None:
    left = {row for name, row in plan.items() if name not in skipped}
    for split, label in sorted(set(plan.values()) - left):
        lost = [name for name, row in plan.items() if row == (split, label)]
        raise BlockError(
            f"No {split} photo of class {label!r} in {photos} can be read ({_some(lost)}). "
            "Replace or remove what cannot be read and prepare again."
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:EXAMPLES]) + (", ..." if len(names) > EXAMPLES else "")


# --- classes: one reader for each source -------------------------------------------------------------------


def _choose_labels(folder: _Folder, wanted: str | None) -> tuple[str, dict[str, str]]:
    """The source that names the classes, and each photo's class."""
    fitting: dict[str, Labels] = {}
    problems = ""
    for source in LABEL_SOURCES if wanted is None else (wanted,):
        try:
            fitting[source] = _fitting_labels(source, folder, sure=wanted is None)
        except BlockError as error:
            problems += f"\n  {source}: {error}"
    if not fitting:
        asked = f"--labels-from {wanted} does not fit" if wanted else "Nothing names the classes of"
        raise BlockError(
            f"{asked} the photos in {folder.root}.{problems}\n"
            "The simplest remedy is a folder for each class, with its photos in it."
        )
    source, labels = next(iter(fitting.items()))
    if any(other != labels for other in fitting.values()):
        ways = "".join(f"\n  --labels-from {way}: {', '.join(_classes(each))}" for way, each in fitting.items())
        raise BlockError(
            f"The photos in {folder.root} can be labelled in {len(fitting)} ways that disagree; "
            f"say which one you mean:{ways}"
        )
    return source, _single_class_each(labels, folder, source)


def _fitting_labels(source: str, folder: _Folder, sure: bool) -> Labels:
    """The classes that the source gives; raises BlockError with its reason where it does not fit."""
    reader, lacking = _READERS[source]
    found = reader(folder)
    labels = {name: found.get(name, frozenset()) for name in folder.paths}
    without = [name for name in labels if not labels[name]]
    if without:
        raise BlockError(f"{len(without)} of {len(labels)} photos {lacking}, such as {without[0]}.")
    classes = _classes(labels)
    if len(classes) < 2:
        raise BlockError(f"All photos are of one class, {classes[0]!r}; a classifier needs at least two.")
    if sure and source == "name":
        _refuse_doubtful_names(labels)
    return labels


def _refuse_doubtful_names(labels: Labels) -> None:
    counts = Counter(label for (label,) in labels.values())
    doubtful = [label for label, count in counts.items() if count < 2 or label.lower() in CAMERA_NAMES]
    if doubtful:
        raise BlockError(f"The file names do not begin with classes, going by {_some(doubtful)}.")


def _classes(labels: Labels) -> list[str]:
    return sorted(frozenset[str]().union(*labels.values()))


def _single_class_each(labels: Labels, folder: _Folder, source: str) -> dict[str, str]:
    mixed = [name for name in folder.paths if len(labels[name]) > 1]
    if mixed:
        raise BlockError(
            f"{len(mixed)} of {len(labels)} photos in {folder.root} have boxes of several classes, such as "
            f"{mixed[0]} ({', '.join(sorted(labels[mixed[0]]))}), but a classifier needs one class for each "
            f"photo (--labels-from {source}). Remove these photos, or take the classes from file names with "
            "--labels-from name or from folders with --labels-from folder."
        )
    return {name: next(iter(labels[name])) for name in folder.paths}


def _classes_from_folders(folder: _Folder) -> Labels:
    split_folders = _split_folders(folder.paths)
    labels: Labels = {}
    for name in folder.paths:
        parents = name.split("/")[:-1]
        if parents and parents[0] in split_folders:
            del parents[0]
        labels[name] = frozenset(parents[:1])
    return labels


def _classes_from_names(folder: _Folder) -> Labels:
    return {name: frozenset(filter(None, [_class_in_name(name.rsplit("/", 1)[-1])])) for name in folder.paths}


def _class_in_name(file_name: str) -> str:
    """apple_12.jpg, apple-12.jpg, apple12.jpg, apple (12).jpg and apple.anything.jpg are all apple."""
    label, *rest = file_name.split(".")
    # Edge Impulse writes CLASS.ID.jpg, where digits may belong to the class.
    return label.strip() if len(rest) > 1 else label.rstrip(" _-()0123456789").strip()


def _classes_from_voc(folder: _Folder) -> Labels:
    labels: Labels = {}
    for name, path in folder.paths.items():
        annotation = _voc_annotation(path, folder.root)
        objects = _read_voc(annotation).findall("object") if annotation else []
        labels[name] = frozenset(filter(None, (_tidy(one.findtext("name")) for one in objects)))
    return labels


def _voc_annotation(path: Path, root: Path) -> Path | None:
    """The XML beside the photo or in the Annotations folder beside its own folder."""
    candidates = [path.with_suffix(".xml")]
    if path.parent != root:
        beside = path.parent.parent
        candidates += [beside / place / f"{path.stem}.xml" for place in ("Annotations", "annotations")]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _read_voc(path: Path) -> ElementTree.Element:
    try:
        data = path.read_bytes()
        # A document type may define entities that grow to gigabytes; the zeros are those of UTF-16.
        if b"<!DOCTYPE" in data.replace(b"\0", b""):
            raise ValueError("it has a DOCTYPE, which Pascal VOC files do without")
        return ElementTree.fromstring(data)
    except (OSError, ElementTree.ParseError, LookupError, ValueError) as error:
        raise BlockError(f"{path} cannot be read as Pascal VOC: {error}. Repair or remove it.") from error


def _classes_from_export(folder: _Folder) -> Labels:
    return {name: _classes_of_entry(entry) for name, entry in _export_entries(folder).items()}


def _classes_of_entry(entry: Mapping[str, Any]) -> frozenset[str]:
    label, boxes = entry.get("label"), entry.get("boundingBoxes")
    if isinstance(label, dict) and label.get("type") == "label":
        return frozenset(filter(None, [_tidy(label.get("label"))]))
    boxes = [box for box in boxes if isinstance(box, dict)] if isinstance(boxes, list) else []
    return frozenset(filter(None, (_tidy(box.get("label")) for box in boxes)))


def _export_entries(folder: _Folder) -> dict[str, dict[str, Any]]:
    """What the export's label files say by photo name; they may lie in any folder above the photos."""
    parents = {parent for path in folder.paths.values() for parent in path.parents}
    entries: dict[str, dict[str, Any]] = {}
    for place in sorted(parent for parent in parents if parent.is_relative_to(folder.root)):
        for file in (place / file_name for file_name in EXPORT_FILES):
            for path, entry in _read_export(file) if file.is_file() else ():
                name = posixpath.normpath(f"{_name(place, folder.root)}/{_tidy(path)}")
                entries[name] = entries.get(name, {}) | entry
    return entries


def _read_export(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """Paths relative to the file, and what it says about each; boxes only where there are some."""
    content = read_json(file)
    version = content.get("version") if isinstance(content, dict) else None
    if version != 1:
        raise BlockError(f"{file} has version {version}; only version 1 of Edge Impulse's format is known.")
    try:
        if file.name == EXPORT_FILES[0]:
            entries = [(entry["path"], dict(entry)) for entry in content["files"]]
        else:
            entries = [(path, {"boundingBoxes": boxes}) for path, boxes in content["boundingBoxes"].items()]
        return [(path, {key: value for key, value in entry.items() if value}) for path, entry in entries]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BlockError(f"{file} does not follow Edge Impulse's format; export the data again.") from error


def _tidy(label: Any) -> str:
    return "" if label is None else unicodedata.normalize("NFC", str(label).strip())


# Each with the words for a photo that it gives no class.
_READERS: dict[str, tuple[Callable[[_Folder], Labels], str]] = {
    "folder": (_classes_from_folders, "lie in no class folder"),
    "name": (_classes_from_names, "have no class in their file name"),
    "voc": (_classes_from_voc, "have no Pascal VOC file (.xml) that names a box"),
    "export": (_classes_from_export, f"have no label in {' or '.join(EXPORT_FILES)}"),
}


# --- splits ------------------------------------------------------------------------------------------------


def _choose_splits(folder: _Folder, labels: Mapping[str, str], seed: int) -> tuple[dict[str, str], str]:
    """Each photo's split, and a phrase that says where it came from."""
    origin, splits = _given_splits(folder)
    given = set(splits.values())
    if splits:
        _check_given_splits(folder, labels, origin, splits)
    if "validation" in given:
        return splits, f"as given by {origin}"
    splits = splits or dict.fromkeys(folder.paths, "train")
    training = {name: label for name, label in labels.items() if splits[name] == "train"}
    validation = _pick_validation(folder.root, training, seed)
    how = f"{VALIDATION_PERCENT} % of each class's training photos validate (seed {seed})"
    if "holdout" in given:
        how = f"{origin}; {how}"
    return splits | dict.fromkeys(validation, "validation"), how


def _given_splits(folder: _Folder) -> tuple[str, dict[str, str]]:
    """The split that comes with the photos and its origin; empty where none does."""
    by_folder = _split_folders(folder.paths)
    if by_folder:
        tops = sorted(by_folder, key=lambda top: SPLITS.index(by_folder[top]))
        origin = "the folders " + ", ".join(f"{top}/" for top in tops)
        top_of = {name: name.split("/")[0] for name in folder.paths}
        return origin, {name: by_folder[top] for name, top in top_of.items() if top in by_folder}
    categories = {name: str(entry.get("category")) for name, entry in _export_entries(folder).items()}
    by_category = {
        name: EXPORT_CATEGORIES[category]
        for name, category in categories.items()
        if name in folder.paths and category in EXPORT_CATEGORIES
    }
    if by_category:
        return f"the categories in {EXPORT_FILES[0]}", by_category
    return "the lists in ImageSets/Main", _splits_from_voc_lists(folder)


def _split_folders(names: Iterable[str]) -> dict[str, str]:
    """The top folders that stand for a split, such as train/ and test/."""
    tops = {name.split("/")[0] if "/" in name else "" for name in names}
    found = {top: SPLIT_FOLDERS[top.lower()] for top in tops if top.lower() in SPLIT_FOLDERS}
    # Beside other classes, train/ alone may well hold photos of trains.
    return found if len(set(found.values())) > 1 or len(found) == len(tops) else {}


def _splits_from_voc_lists(folder: _Folder) -> dict[str, str]:
    splits: dict[str, str] = {}
    for place in sorted({path.parent for path in folder.paths.values() if path.parent.name == "JPEGImages"}):
        lists = place.parent / "ImageSets" / "Main"
        files = [(lists / f"{list_name}.txt", split) for list_name, split in VOC_LISTS.items()]
        by_stem = {
            line.strip(): split
            for file, split in files
            if file.is_file()
            for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
        }
        splits |= {
            name: by_stem[path.stem]
            for name, path in folder.paths.items()
            if path.parent == place and path.stem in by_stem
        }
    return splits


def _check_given_splits(folder: _Folder, labels: Mapping[str, str], origin: str, splits: Mapping[str, str]) -> None:
    outside = [name for name in folder.paths if name not in splits]
    if outside:
        raise BlockError(
            f"{len(outside)} of {len(folder.paths)} photos in {folder.root} have no place in "
            f"{origin}: {_some(outside)}. Give them one, or move them out of the folder."
        )
    taught = {label for name, label in labels.items() if splits[name] == "train"}
    untaught = sorted(set(labels.values()) - taught)
    if untaught:
        raise BlockError(
            f"{folder.root} has no training photos of class {_some(untaught)}, going by "
            f"{origin}. Add some, or remove the class."
        )


def _pick_validation(root: Path, labels: Mapping[str, str], seed: int) -> list[str]:
    """A share of each class, at least one photo; independent of the other classes."""
    by_class: dict[str, list[str]] = {}
    for name, label in labels.items():
        by_class.setdefault(label, []).append(name)
    lonely = sorted(label for label, names in by_class.items() if len(names) < 2)
    if lonely:
        raise BlockError(
            f"{root} has only one training photo of class {_some(lonely)}; each class needs at "
            "least two, to learn from and to validate. Add photos, or remove the class."
        )
    picked: list[str] = []
    for names in by_class.values():
        count = max(1, (len(names) * VALIDATION_PERCENT + 50) // 100)
        picked += sorted(names, key=lambda name: _rank(name, seed))[:count]
    return picked


def _rank(name: str, seed: int) -> bytes:
    # A hash of the name: a new photo moves hardly any other photo to another split.
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
