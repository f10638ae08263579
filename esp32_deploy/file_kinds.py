"""Tells photos from other files by their names, and counts the files that are not read by kind: videos and others."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image

PHOTO_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp"),  # names of JPEG
        *(".png", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm"),
    )
)
# Pillow reads these only with another package.
HEIF_SUFFIXES = frozenset((".heic", ".heif", ".hif"))
# All photos that this block reads, or reads after an installation.
ALL_PHOTO_SUFFIXES = PHOTO_SUFFIXES | HEIF_SUFFIXES
NEEDS_HEIF = "HEIC photos need the package pillow-heif: pip install pillow-heif"

KINDS: Mapping[str, Iterable[str]] = {
    "HEIC photos": HEIF_SUFFIXES,
    "AVIF photos": (".avif",),
    "JPEG XL photos": (".jxl",),
    "camera raw files": (
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw"),
        *(".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
    ),
    "videos": (
        *(".3gp", ".asf", ".avi", ".flv", ".h264", ".h265", ".m2ts", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov"),
        *(".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv"),
    ),
    "drawings": (".ai", ".eps", ".psd", ".svg", ".xcf"),
    "archives": (".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip"),
}
_KIND_OF = {suffix: kind for kind, suffixes in KINDS.items() for suffix in suffixes}
# Labels and notes. Readers of labels name those that matter to them.
TEXT_SUFFIXES = frozenset(
    (
        *(".cfg", ".csv", ".db", ".htm", ".html", ".ini", ".ipynb", ".json", ".labels", ".log", ".md", ".names"),
        *(".npy", ".npz", ".pdf", ".py", ".rst", ".tsv", ".txt", ".xlsx", ".xml", ".yaml", ".yml"),
    )
)
OTHER_PICTURES = "pictures with another ending"
# Each of these files holds one picture.
PICTURE_KINDS = frozenset(("HEIC photos", "AVIF photos", "JPEG XL photos", "camera raw files", OTHER_PICTURES))
FILE_EXAMPLES = 2


def is_photo(path: Path) -> bool:
    """True if the name says that the file is a photo which can be read. HEIC photos need pillow-heif."""
    suffix = path.suffix.lower()
    return suffix in PHOTO_SUFFIXES or (suffix in HEIF_SUFFIXES and register_heif())


def register_heif() -> bool:
    """Lets Pillow read HEIC if pillow-heif is installed. Returns whether it is."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def kind_of(path: Path) -> str | None:
    """The kind of a file that is not read; None if it is neither a picture, nor a video, nor an archive."""
    suffix = path.suffix.lower()
    if suffix in _KIND_OF or suffix in TEXT_SUFFIXES:
        return _KIND_OF.get(suffix)
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        return None
    try:
        with Image.open(path):
            return OTHER_PICTURES
    except Exception:  # a file that is no picture can raise almost anything in Pillow's readers
        return None


def describe_unread(files: Mapping[str, Path]) -> str:
    """Counts the unread files by kind, with examples and a remedy; empty if there are none. `files` are by name."""
    by_kind: dict[str, list[str]] = {}
    for name, path in files.items():
        if kind := kind_of(path):
            by_kind.setdefault(kind, []).append(name)
    if not by_kind:
        return ""
    listed = "; ".join(_count(kind, names) for kind, names in by_kind.items())
    remedies = [text for kind, text in _REMEDIES.items() if kind in by_kind]
    return f"Files that are not read: {listed}.{''.join(f' {text}' for text in remedies)}"


def _count(kind: str, names: list[str]) -> str:
    left = len(names) - FILE_EXAMPLES
    examples = ", ".join(names[:FILE_EXAMPLES]) + (f" and {left} more" if left > 0 else "")
    return f"{kind}: {len(names)} ({examples})"


_REMEDIES = {
    "HEIC photos": f"{NEEDS_HEIF[0].upper()}{NEEDS_HEIF[1:]}.",
    "AVIF photos": "Convert AVIF photos to JPEG.",
    "JPEG XL photos": "Convert JPEG XL photos to JPEG.",
    "camera raw files": "Develop camera raw files to JPEG.",
    "videos": "Export frames of videos as JPEG.",
    "drawings": "Export drawings as PNG.",
    "archives": "Unpack archives.",
    OTHER_PICTURES: "Rename these pictures so that their names end in .jpg or .png.",
}
