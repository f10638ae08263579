"""Finds photos in folders and decodes them. Training and the command `verify` use it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from esp32_deploy import pixels
from esp32_deploy.errors import DeployError

PHOTO_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"))


class UnreadablePhotoError(DeployError):
    """A file cannot be decoded. `reason` says why, without the name of the file."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read as a photo: {reason}.")
        self.reason = reason


def walk(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[Path]:
    """All photos below the folder, sorted by name in each folder.

    A link is followed, unless it leads to a folder that contains it. Hidden files and folders are left out.
    Raises DeployError if a folder cannot be listed.
    """
    real = folder.resolve()
    if real in above:  # a link to a folder above it
        return
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DeployError(f"{folder} cannot be listed: {error.strerror}.") from error
    for path in entries:
        if path.name.startswith(".") or path.name == "__MACOSX":
            continue
        if path.is_dir():
            yield from walk(path, (*above, real))
        elif path.suffix.lower() in PHOTO_SUFFIXES:
            yield path


def read_photo(path: Path) -> np.ndarray:
    """Decodes a photo to (H, W, 3) uint8 RGB. It is turned upright, and transparent parts become white.

    Raises UnreadablePhotoError if the file is broken, is not a photo, or has so many pixels that it may be an attack.
    """
    with opened(path) as image:
        ImageOps.exif_transpose(image, in_place=True)
        return _to_rgb(image)


def model_inputs(folder: Path, shape: tuple[int, int, int], count: int) -> np.ndarray:
    """Up to `count` photos below a folder as int8 inputs (N, height, width, channels), resized as on the board.

    `shape` is the model's input (height, width, channels). Raises DeployError if the folder has no photos, or if the
    model's input is not a square image with 1 or 3 channels.
    """
    if shape[0] != shape[1] or shape[2] not in (1, 3):
        raise DeployError(f"The model's input {shape} is not a square photo. Run without photos.")
    paths = list(walk(folder))[:count]
    if not paths:
        raise DeployError(f"{folder} has no photos. Their names end in {', '.join(sorted(PHOTO_SUFFIXES))}.")
    sized = [pixels.image_to_input(read_photo(path), shape[0], "squash", shape[2]) for path in paths]
    return pixels.int8_from_bytes(np.stack(sized))


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Opens a photo and reads its header. Raises UnreadablePhotoError if that or the body of the `with` fails."""
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
        return "not a picture in a format that Pillow can read"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"larger than {(Image.MAX_IMAGE_PIXELS or 0) // 10**6} megapixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror  # without the path, which str(error) would add
    return str(error) or type(error).__name__


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        return _rgb_from_16_bit(np.asarray(image))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range (save it with 8 bits per channel)")
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), _in_mode(image, "RGBA"))
    return np.asarray(_in_mode(image, "RGB"))


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # convert always copies, even a large photo


def _rgb_from_16_bit(gray: np.ndarray) -> np.ndarray:
    if gray.min() < 0 or gray.max() > 65535:
        raise ValueError("its pixels have 32 bits and an unknown range (save it with 8 bits per channel)")
    eight_bit = ((gray.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return np.repeat(eight_bit[:, :, None], 3, axis=2)
