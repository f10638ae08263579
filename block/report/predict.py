"""Runs the int8 .tflite on photos with TensorFlow Lite Micro, as on the board, and draws the answers on the photos."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from block.data import contract
from block.data.classes import numbered_classes
from block.errors import BlockError
from block.export import runtimes
from block.measure.decode import decode
from block.photos.prepare import refuse_own_output
from block.report import drawing
from block.report.drawing import Mark
from esp32_deploy import manifest, meaning
from esp32_deploy.compile import graph
from esp32_deploy.compile.ends import check_ends
from esp32_deploy.files import replacing
from esp32_deploy.meaning import Meaning
from esp32_deploy.photos import UnreadablePhotoError, read_photo, walk, what_photos_are
from esp32_deploy.pixels import image_to_input, int8_from_bytes, placement
from esp32_deploy.verify import tflm
from esp32_deploy.words import SCORE_STEPS

# Smaller photos are enlarged to this size, so that drawn marks do not hide them.
LEAST_PICTURE_PX = 240
NOT_SURE = "not sure"
NOTHING = "nothing found"


@dataclass(frozen=True)
class BoardModel:
    """An int8 model that runs as on the board, and the meaning of its input and output."""

    run: Callable[[np.ndarray], np.ndarray]
    """The network: pixels - 128 (N, H, W, C) int8 -> outputs (N, ...) int8."""
    meaning: Meaning


@dataclass(frozen=True)
class Answer:
    """The model's answer for one photo: as text, and drawn on the photo."""

    text: str
    picture: Image.Image


def load(model: Path, resize: str | None = None, threshold: float | None = None) -> BoardModel:
    """Opens an int8 .tflite with deploy.json and labels.txt from its folder. `resize` and `threshold` override theirs.

    Raises BlockError for a model that TensorFlow Lite Micro cannot run. Raises DeployError for one that is not int8, or
    if model and manifest do not fit.
    """
    if not model.is_file():
        raise BlockError(
            f"{model} is not a file. Name a .tflite file, such as {contract.Outputs(Path('out')).tflite_int8}."
        )
    content, noted = graph.read(model), manifest.beside(model)
    check_ends(content)
    if noted.labels is None:
        noted = replace(noted, labels=numbered_classes(meaning.class_count(content)))
    overrides: dict[str, Any] = {"resize": resize, "threshold": threshold}
    noted = replace(noted, **{name: value for name, value in overrides.items() if value is not None})
    known = meaning.of(content, noted)
    interpreter = runtimes.tflm_interpreter(model)
    return BoardModel(partial(tflm.invoke, interpreter), known)


def answer(model: BoardModel, pixels: np.ndarray) -> Answer:
    """Runs the model on a photo, (H, W, 3) uint8 RGB, and draws the answer on it. Small photos are enlarged."""
    known = model.meaning
    size, _, channels = known.input_shape
    shown = image_to_input(pixels, size, known.resize, channels)
    outputs = model.run(int8_from_bytes(shown[np.newaxis]))
    scores = known.scores(outputs)[0] / np.float32(SCORE_STEPS)
    photo = Image.fromarray(pixels)
    times = -(-LEAST_PICTURE_PX // min(photo.size))
    canvas = photo.resize((photo.width * times, photo.height * times), Image.Resampling.NEAREST)
    if known.decode is None or known.cell_px is None:
        best = int(known.class_values(outputs)[0].argmax())
        text = label_text(known.labels[best], float(scores[best]), known.threshold)
        return Answer(text, drawing.captioned(canvas, text))
    found = decode(scores, known.threshold, known.cell_px, known.decode)
    place = placement(photo.width, photo.height, size, known.resize)
    marks = []
    for one in found:
        box = drawing.on_original((one.x, one.y, one.width, one.height), place)
        center = drawing.on_original((one.center_x, one.center_y, 0, 0), place)[:2]
        marks.append(Mark("object", box, center, f"{known.labels[one.label]} {one.score:.0%}", one.label).larger(times))
    counts = Counter(known.labels[one.label] for one in found)
    text = ", ".join(f"{counts[label]} {label}" for label in known.labels if counts[label]) or NOTHING
    return Answer(text, drawing.with_marks(canvas, marks))


def label_text(label: str, score: float, threshold: float) -> str:
    """`apple 93%`, or below the threshold `not sure (apple 41%)`."""
    text = f"{label} {score:.0%}"
    return text if score >= threshold else f"{NOT_SURE} ({text})"


def find_photos(named: Sequence[Path], out: Path) -> list[Path]:
    """Lists photos: the files in `named`, and all photos in the folders in `named`.

    Raises BlockError for a path that does not exist, if there are no photos, and for a folder that contains `out`,
    because the pictures there are not photos.
    """
    found: list[Path] = []
    for path in named:
        if path.is_dir():
            refuse_own_output(path, out)
            found += walk(path)
        elif path.exists():
            found.append(path)
        else:
            raise BlockError(f"{path} does not exist. Name photos or folders of photos.")
    if not found:
        raise BlockError(f"There are no photos in {', '.join(map(str, named))}. {what_photos_are(named[0])}")
    return found


def choose_pictures(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Chooses a PNG file in `out` for each photo. Raises BlockError if it would overwrite one of the photos."""
    taken: set[str] = set()
    pictures = {path: out / f"{_free_name(path.stem, taken)}.png" for path in paths}
    originals = {path.resolve() for path in paths}
    for picture in pictures.values():
        if picture.resolve() in originals:
            raise BlockError(f"The photo {picture} would be overwritten by a picture. Choose another folder for --out.")
    return pictures


def draw_pictures(
    model: BoardModel, pictures: Mapping[Path, Path], unreadable: Callable[[str], None]
) -> Iterator[tuple[Path, str]]:
    """Writes the picture of each photo and yields the photo's path and the answer.

    `unreadable` is called with a message for each photo that cannot be read.
    """
    for path, picture in pictures.items():
        try:
            pixels = read_photo(path)
        except UnreadablePhotoError as error:
            unreadable(str(error))
            continue
        answered = answer(model, pixels)
        with replacing(picture) as temporary:
            answered.picture.save(temporary, format="png")
        yield path, answered.text


def _free_name(stem: str, taken: set[str]) -> str:
    # Photos in different folders can have the same name, and so can 1.jpg and 1.png.
    name, number = stem, 2
    while name.casefold() in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.casefold())
    return name
