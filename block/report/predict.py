"""What the board would see: photos through the int8 .tflite under TensorFlow Lite Micro, drawn and put into words."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from block.data import contract, photos
from block.data.photo_folder import walk
from block.errors import BlockError
from block.export import runtimes
from block.measure.decode import decode
from block.report import drawing
from block.report.drawing import Mark
from block.report.results import NOT_SURE_THRESHOLD
from esp32_deploy import graph
from esp32_deploy.manifest import DECODES, Decode
from esp32_deploy.meaning import DEFAULT_DECODE, UNKNOWN_RESIZE
from esp32_deploy.pixels import RESIZE_MODES, image_to_input, placement

# scale and zero point of every int8 softmax
PROBABILITIES = ((1 / 256,), (-128,))
NOT_SURE = "not sure"
NOTHING = "nothing found"


@dataclass(frozen=True)
class Seer:
    """A model and what must be known beside it to read its answers."""

    run: runtimes.Predict
    task: Literal["classification", "detection"]
    labels: tuple[str, ...]
    size: int
    channels: int
    resize: str
    threshold: float
    decode: Decode


@dataclass(frozen=True)
class Seen:
    """One photo with its answer drawn on it, and the answer in words."""

    text: str
    picture: Image.Image


def load(model: Path, resize: str | None = None, threshold: float | None = None) -> Seer:
    """Opens an int8 .tflite with the deploy.json and labels.txt beside it; `resize` and `threshold` go before theirs.

    Raises BlockError for a model that is not int8 or that TensorFlow Lite Micro cannot run.
    """
    if not model.is_file():
        raise BlockError(f"{model} is not a file; name a .tflite, such as {contract.Outputs(Path('out')).tflite_int8}.")
    image, answer = _tensors(model)
    noted = _deploy(model)
    outputs = answer.shape[-1]
    is_grid = len(answer.shape) == 4 and answer.shape[1] > 1
    count = outputs - 1 if is_grid else outputs
    return Seer(
        run=runtimes.tflm_predict(model),
        task="detection" if is_grid else "classification",
        labels=_labels(model, noted, count),
        size=image.shape[1],
        channels=image.shape[3],
        resize=resize or _one_of(noted.get("resize"), RESIZE_MODES, UNKNOWN_RESIZE),
        threshold=noted.get("threshold", NOT_SURE_THRESHOLD) if threshold is None else threshold,
        decode=_one_of(noted.get("decode"), DECODES, DEFAULT_DECODE),
    )


def see(seer: Seer, pixels: np.ndarray) -> Seen:
    """Asks the model about a photo, (H, W, 3) uint8 RGB; draws on the photo as it came."""
    shown = image_to_input(pixels, seer.size, seer.resize, seer.channels)
    answer = seer.run(shown[np.newaxis].astype(np.float32) / np.float32(255))[0]
    photo = Image.fromarray(pixels)
    if seer.task == "classification":
        text = label_text(seer.labels, answer, seer.threshold)
        return Seen(text, drawing.captioned(photo, text))
    cell_px = seer.size // answer.shape[0]
    found = decode(answer, seer.threshold, cell_px, seer.decode)
    place = placement(photo.width, photo.height, seer.size, seer.resize)
    marks = []
    for one in found:
        box = drawing.on_original((one.x, one.y, one.width, one.height), place)
        center = drawing.on_original((one.center_x, one.center_y, 0, 0), place)[:2]
        marks.append(Mark("object", box, center, f"{seer.labels[one.label]} {one.score:.0%}", one.label))
    counts = Counter(seer.labels[one.label] for one in found)
    text = ", ".join(f"{counts[label]} {label}" for label in seer.labels if counts[label]) or NOTHING
    return Seen(text, drawing.with_marks(photo, marks))


def label_text(labels: Sequence[str], probabilities: np.ndarray, threshold: float) -> str:
    """`apple 93%`, or that the model is not sure and what comes closest."""
    best = int(probabilities.argmax())
    said = f"{labels[best]} {probabilities[best]:.0%}"
    return said if probabilities[best] >= threshold else f"{NOT_SURE} ({said})"


def find_photos(named: Sequence[Path]) -> list[Path]:
    """The photos that were named, those of a folder in its place; raises BlockError for what is not there."""
    found: list[Path] = []
    for path in named:
        if path.is_dir():
            found += walk(path)
        elif path.exists():
            found.append(path)
        else:
            raise BlockError(f"{path} does not exist; name photos, or folders of photos.")
    if not found:
        raise BlockError(f"There are no photos in {', '.join(map(str, named))}.")
    return found


def write_pictures(
    seer: Seer, paths: Sequence[Path], out: Path, unreadable: Callable[[str], None]
) -> Iterator[tuple[Path, str]]:
    """Writes a PNG a photo into `out` and yields its path and the answer; what cannot be read goes to `unreadable`."""
    taken: set[str] = set()
    for path in paths:
        try:
            pixels = photos.read_photo(path)
        except photos.UnreadablePhotoError as error:
            unreadable(str(error))
            continue
        seen = see(seer, pixels)
        picture = out / f"{_free_name(path.stem, taken)}.png"
        with contract.replacing(picture) as temporary:
            seen.picture.save(temporary, format="png")
        yield path, seen.text


def _free_name(stem: str, taken: set[str]) -> str:
    # photos of different folders may share a name, and so may 1.jpg and 1.png
    name, number = stem, 2
    while name.casefold() in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.casefold())
    return name


def _tensors(model: Path) -> tuple[graph.Tensor, graph.Tensor]:
    content = graph.read(model)
    image, answer = content.inputs[0], content.outputs[0]
    if (image.type, answer.type) != ("INT8", "INT8") or len(image.shape) != 4 or image.shape[1] != image.shape[2]:
        raise BlockError(
            f"{model} takes {image.type} of shape {image.shape} and gives {answer.type}; a board runs int8 models of "
            "square images, such as model_quantized_int8_io.tflite."
        )
    if (answer.scales, answer.zero_points) != PROBABILITIES:
        raise BlockError(f"{model} gives no probabilities, because it does not end in a softmax; export it with one.")
    return image, answer


def _deploy(model: Path) -> dict[str, Any]:
    path = contract.Outputs(model.parent).deploy
    noted = contract.read_json(path) if path.exists() else {}
    if not isinstance(noted, dict):
        raise BlockError(f"{path} should hold a JSON object as training writes it.")
    return noted


def _labels(model: Path, noted: dict[str, Any], count: int) -> tuple[str, ...]:
    path = contract.Outputs(model.parent).labels
    labels = noted.get("labels") or (path.read_text(encoding="utf-8").splitlines() if path.exists() else None)
    if labels is None:
        return tuple(f"class {number}" for number in range(1, count + 1))
    if len(labels) != count:
        raise BlockError(f"{model} tells {count} classes apart, but {len(labels)} labels lie beside it.")
    return tuple(map(str, labels))


def _one_of(value: Any, choices: Sequence[Any], default: Any) -> Any:
    return value if value in choices else default
