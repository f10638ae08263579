"""Writes the demo data set: photo-like scenes of fruit with class labels and boxes.

A photo depends only on its name, its size and the seed. Therefore a smaller set holds the same photos as a larger one.
On another kind of processor (AVX2, AVX-512) NumPy may round some pixels differently.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.random import Generator
from PIL import Image

from block.demo.scene import SIZE_PX, SUPERSAMPLING, Box, compose, photograph, tight_box
from block.demo.things import FRUITS
from block.errors import BlockError
from esp32_deploy.files import replacing

KINDS = tuple(FRUITS)  # apple, banana, orange
MIN_SIZE_PX = 48
JPEG_QUALITY = 88
MARK = "drawn by block"
"""Every XML file holds this text, so that a second run overwrites only photos of the demo."""


@dataclass(frozen=True)
class Scene:
    """One drawn photo (RGB), the kind of its fruits, and a tight box for each fruit."""

    photo: Image.Image
    kind: str
    boxes: tuple[Box, ...]


def draw_scene(kind: str, generator: Generator, size_px: int = SIZE_PX) -> Scene:
    """Draws a square photo of one to three fruits of `kind`.

    Each box is tight around its whole fruit, as if nothing covered it. Raises BlockError if the kind is unknown.
    """
    if kind not in KINDS:
        raise BlockError(f"The demo cannot draw {kind}. It draws {', '.join(KINDS)}.")
    side = round(size_px * SUPERSAMPLING)
    canvas, items = compose(kind, generator, side)
    boxes = tuple(tight_box(item, side) for item in items if item.is_fruit)
    return Scene(photograph(canvas, generator, size_px), kind, boxes)


def write_demo(
    directory: Path,
    photos_per_kind: int = 120,
    test_photos_per_kind: int = 30,
    seed: int = 1,
    size_px: int = SIZE_PX,
    track: Callable[[Sequence[tuple[str, str, int]]], Iterable[tuple[str, str, int]]] = iter,
) -> None:
    """Writes `train/` and `test/` with apple_1.jpg, apple_1.xml (Pascal VOC) and so on into `directory`.

    Overwrites an earlier demo if it has no more photos. Raises BlockError if the folder holds any other file, or if a
    number or the size is too small. `track` can wrap the list of (split, kind, number) to show progress.
    """
    if min(photos_per_kind, test_photos_per_kind) < 1 or size_px < MIN_SIZE_PX:
        raise BlockError(
            f"The demo needs at least 1 photo of each kind in each split. A photo is at least {MIN_SIZE_PX} px wide."
        )
    counts = {"train": photos_per_kind, "test": test_photos_per_kind}
    jobs = [(split, kind, n + 1) for split in counts for kind in KINDS for n in range(counts[split])]
    _refuse_other_files(directory, jobs)
    for split in counts:
        (directory / split).mkdir(parents=True, exist_ok=True)
    for split, kind, number in track(jobs):
        scene = draw_scene(kind, photo_generator(seed, split, kind, number), size_px)
        _write_scene(scene, directory / split / f"{kind}_{number}.jpg")


def photo_generator(seed: int, split: str, kind: str, number: int) -> Generator:
    """The random generator of one photo. It depends only on the photo's name and the seed."""
    return np.random.default_rng([seed, zlib.crc32(split.encode()), zlib.crc32(kind.encode()), number])


def _refuse_other_files(directory: Path, jobs: Sequence[tuple[str, str, int]]) -> None:
    if directory.exists() and not directory.is_dir():
        raise BlockError(f"{directory} is a file. The demo photos need a folder. Choose another name.")
    ours = {directory / split for split, _, _ in jobs}
    for split, kind, number in jobs:
        annotation = directory / split / f"{kind}_{number}.xml"
        if _is_marked(annotation):
            ours |= {annotation, annotation.with_suffix(".jpg")}
    for path in sorted([*directory.glob("*"), *directory.glob("*/*")]):
        if path not in ours and not path.name.startswith("."):
            raise BlockError(
                f"{directory} holds {path.relative_to(directory)}, which is not one of the photos of this demo. "
                "Choose a new or empty folder."
            )


def _is_marked(annotation: Path) -> bool:
    return annotation.is_file() and MARK in annotation.read_text(encoding="utf-8", errors="replace")


def _write_scene(scene: Scene, path: Path) -> None:
    # The XML file is written first. If the run is interrupted, the next run sees its mark and overwrites the photo.
    tree = ElementTree.ElementTree(_annotation(scene, path))
    ElementTree.indent(tree)
    with replacing(path.with_suffix(".xml")) as temporary:
        tree.write(temporary, encoding="utf-8")
    with replacing(path) as temporary:
        scene.photo.save(temporary, "JPEG", quality=JPEG_QUALITY)


def _annotation(scene: Scene, path: Path) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    size = {"width": scene.photo.width, "height": scene.photo.height, "depth": 3}
    _add(root, {"folder": path.parent.name, "filename": path.name, "source": {"database": MARK}, "size": size})
    for box in scene.boxes:
        _add(root, {"object": {"name": scene.kind, "bndbox": box._asdict()}})
    return root


def _add(parent: ElementTree.Element, values: dict) -> None:
    for name, value in values.items():
        child = ElementTree.SubElement(parent, name)
        if isinstance(value, dict):
            _add(child, value)
        else:
            child.text = str(value)
