"""Finds photos in folders and decodes them. Training and the commands `predict` and `verify` use it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from esp32_deploy import pixels
from esp32_deploy.errors import DeployError
from esp32_deploy.file_kinds import HEIF_SUFFIXES, NEEDS_HEIF, PHOTO_SUFFIXES, describe_unread, is_photo, register_heif


class UnreadablePhotoError(DeployError):
    """A file cannot be decoded. `reason` says why, without the name of the file."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read as a photo: {reason}.")
        self.reason = reason


def walk(folder: Path) -> Iterator[Path]:
    """All photos below the folder, sorted by name in each folder. `walk_all` says what is left out."""
    return (path for path, is_folder in walk_all(folder) if not is_folder and is_photo(path))


def walk_all(folder: Path, above: tuple[Path, ...] = ()) -> Iterator[tuple[Path, bool]]:
    """All files and folders below the folder, sorted by name in each folder, and whether each is a folder.

    A link is followed, unless it leads to a folder that contains it. Hidden files and folders are left out.
    Raises DeployError if a folder cannot be listed.
    """
    inside = (*above, folder.resolve())
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DeployError(f"{folder} cannot be listed: {error.strerror}.") from error
    for path in entries:
        if path.name.startswith(".") or path.name == "__MACOSX":
            continue
        if not path.is_dir():
            yield path, False
        elif path.resolve() not in inside:  # a link can lead to a folder above it
            yield path, True
            yield from walk_all(path, inside)


def what_photos_are(folder: Path) -> str:
    """For a refusal of a folder without photos: the endings of photos, and what lies there instead."""
    others = {path.relative_to(folder).as_posix(): path for path, is_folder in walk_all(folder) if not is_folder}
    unread = describe_unread({name: path for name, path in others.items() if not is_photo(path)})
    return f"The names of photos end in {', '.join(sorted(PHOTO_SUFFIXES))}. {unread}".rstrip()


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
        raise DeployError(f"{folder} has no photos. {what_photos_are(folder)}")
    sized = [pixels.image_to_input(read_photo(path), shape[0], "squash", shape[2]) for path in paths]
    return pixels.int8_from_bytes(np.stack(sized))


def used_range(image: Image.Image) -> tuple[float, float] | None:
    """The smallest and the largest value in an opened photo of 16 bits per channel, 0..1; None for other photos."""
    tiles = getattr(image, "tile", [])
    depth = tiles[0][3] if tiles else ""  # Pillow's raw mode, such as RGB;16B; for PPM the largest value
    is_deep_ppm = image.format == "PPM" and isinstance(depth, tuple) and isinstance(depth[-1], int) and depth[-1] > 255
    if not (image.mode.startswith("I") or ";16" in str(depth) or is_deep_ppm):
        return None
    values = np.asarray(image)
    if image.mode.endswith("A"):
        values = values[..., :-1]
    full = 65535 if image.mode.startswith("I") else 255  # Pillow keeps only the upper byte of 16-bit colours
    return float(values.min()) / full, float(values.max()) / full


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Opens a photo and reads its header. Raises UnreadablePhotoError if that or the body of the `with` fails."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError("not a regular file")
        if path.suffix.lower() in HEIF_SUFFIXES and not register_heif():
            raise ValueError(NEEDS_HEIF)
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
