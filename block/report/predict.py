"""What the board would see: photos through the int8 .tflite under TensorFlow Lite Micro, drawn and put into words."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from esp32_deploy.files import replacing
from esp32_deploy.meaning import Meaning
from esp32_deploy.photos import UnreadablePhotoError, read_photo, walk
from esp32_deploy.pixels import image_to_input, placement

# small photos are enlarged, so that what is drawn on them leaves something to see
LEAST_PICTURE_PX = 240
NOT_SURE = "not sure"
NOTHING = "nothing found"


@dataclass(frozen=True)
class BoardModel:
    """An int8 model as the board runs it, and what its answers mean."""

    predict: runtimes.Predict
    meaning: Meaning


@dataclass(frozen=True)
class Answer:
    """What the model answers for one photo: in words, and drawn on the photo."""

    text: str
    picture: Image.Image


def load(model: Path, resize: str | None = None, threshold: float | None = None) -> BoardModel:
    """Opens an int8 .tflite with the deploy.json and labels.txt beside it; `resize` and `threshold` go before theirs.

    Raises BlockError for a model that is not int8 or that TensorFlow Lite Micro cannot run, DeployError where model
    and manifest do not fit.
    """
    if not model.is_file():
        raise BlockError(f"{model} is not a file; name a .tflite, such as {contract.Outputs(Path('out')).tflite_int8}.")
    content, noted = _read(model), manifest.beside(model)
    if noted.labels is None:
        *_, outputs = answer = meaning.image_shape(content.outputs[0])
        noted = replace(noted, labels=numbered_classes(outputs - 1 if answer[0] * answer[1] > 1 else outputs))
    overrides: dict[str, Any] = {"resize": resize, "threshold": threshold}
    noted = replace(noted, **{name: value for name, value in overrides.items() if value is not None})
    known = meaning.of(content, noted)
    if known.softmax:
        raise BlockError(f"{model} gives no probabilities, because it does not end in a softmax; export it with one.")
    return BoardModel(runtimes.tflm_predict(model), known)


def answer(model: BoardModel, pixels: np.ndarray) -> Answer:
    """Asks the model about a photo, (H, W, 3) uint8 RGB; draws on the photo as it came, enlarged where it is small."""
    known = model.meaning
    size, _, channels = known.input_shape
    shown = image_to_input(pixels, size, known.resize, channels)
    probabilities = model.predict(shown[np.newaxis].astype(np.float32) / np.float32(255))[0]
    photo = Image.fromarray(pixels)
    times = -(-LEAST_PICTURE_PX // min(photo.size))
    canvas = photo.resize((photo.width * times, photo.height * times), Image.Resampling.NEAREST)
    if known.decode is None:
        text = label_text(known.labels, probabilities, known.threshold)
        return Answer(text, drawing.captioned(canvas, text))
    found = decode(probabilities, known.threshold, size // probabilities.shape[0], known.decode)
    place = placement(photo.width, photo.height, size, known.resize)
    marks = []
    for one in found:
        box = drawing.on_original((one.x, one.y, one.width, one.height), place)
        center = drawing.on_original((one.center_x, one.center_y, 0, 0), place)[:2]
        marks.append(Mark("object", box, center, f"{known.labels[one.label]} {one.score:.0%}", one.label).larger(times))
    counts = Counter(known.labels[one.label] for one in found)
    text = ", ".join(f"{counts[label]} {label}" for label in known.labels if counts[label]) or NOTHING
    return Answer(text, drawing.with_marks(canvas, marks))


def label_text(labels: Sequence[str], probabilities: np.ndarray, threshold: float) -> str:
    """`apple 93%`, or that the model is not sure and what comes closest."""
    best = int(probabilities.argmax())
    said = f"{labels[best]} {probabilities[best]:.0%}"
    return said if probabilities[best] >= threshold else f"{NOT_SURE} ({said})"


def find_photos(named: Sequence[Path], out: Path) -> list[Path]:
    """The photos that were named, those of a folder in its place.

    Raises BlockError for what is not there, and for a folder that holds `out`: its pictures are no photos.
    """
    found: list[Path] = []
    for path in named:
        if path.is_dir():
            refuse_own_output(path, out)
            found += walk(path)
        elif path.exists():
            found.append(path)
        else:
            raise BlockError(f"{path} does not exist; name photos, or folders of photos.")
    if not found:
        raise BlockError(f"There are no photos in {', '.join(map(str, named))}.")
    return found


def choose_pictures(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """The PNG in `out` for each photo; raises BlockError where that is one of the photos."""
    taken: set[str] = set()
    pictures = {path: out / f"{_free_name(path.stem, taken)}.png" for path in paths}
    originals = {path.resolve() for path in paths}
    for picture in pictures.values():
        if picture.resolve() in originals:
            raise BlockError(
                f"The photo {picture} would be overwritten by its picture; choose another folder for --out."
            )
    return pictures


def draw_pictures(
    model: BoardModel, pictures: Mapping[Path, Path], unreadable: Callable[[str], None]
) -> Iterator[tuple[Path, str]]:
    """Writes each photo's picture and yields the photo's path and the answer; broken photos go to `unreadable`."""
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
    # photos of different folders may share a name, and so may 1.jpg and 1.png
    name, number = stem, 2
    while name.casefold() in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.casefold())
    return name


def _read(model: Path) -> graph.Graph:
    content = graph.read(model)
    image, answer = content.inputs[0], content.outputs[0]
    if (image.type, answer.type) != ("INT8", "INT8") or len(image.shape) != 4:
        raise BlockError(
            f"{model} takes {image.type} of shape {image.shape} and gives {answer.type}; a board runs int8 models of "
            "square images, such as model_quantized_int8_io.tflite."
        )
    return content
