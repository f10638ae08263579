"""What a photo's file name says: which photo, video or burst it comes from, and which class it begins with."""

import re
from collections.abc import Container
from dataclasses import dataclass, replace

from esp32_deploy.file_kinds import ALL_PHOTO_SUFFIXES, KINDS

_PHOTO = rf"(?:{'|'.join(sorted(suffix[1:] for suffix in ALL_PHOTO_SUFFIXES))})"
_VIDEO = rf"(?:{'|'.join(suffix[1:] for suffix in KINDS['videos'])})"
_EDIT = (
    r"(?:aug(?:mented)?|blur(?:red)?|bright(?:er|ness)?|contrast|crop(?:ped)?|cutout|dark(?:er)?|edit(?:ed)?|equalized?"
    r"|flip(?:ped)?(?:lr|ud)?|[hv]flip|gauss(?:ian)?|gr[ae]y(?:scale)?|hue|jitter|mirror(?:ed)?|mixup|mosaic|nois[ey]"
    r"|resized?|rot(?:ate|ated|ation)?|saturation|scaled?|sharp(?:en|ened)?|shear(?:ed)?|shift(?:ed)?|translated?"
    r"|zoom(?:ed)?)"
)


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


# Edge Impulse adds an id of its own to the names of uploads: apple_1_jpg.rf.HASH.jpg.4f1c.jpg
ROBOFLOW = _pattern(rf"(.+?)(?:[._-]{_PHOTO})*\.rf\.\w{{8,}}(?:\..*)?")
AUGMENTOR = _pattern(rf".*_original_(.+?)(?:\.{_PHOTO})?_[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}")
KERAS = _pattern(r"((?:aug|augmented)_\d+)_\d+")
EDITED = _pattern(rf"(.+?)(?:[-_ .]{_EDIT}[-_ ]?\d*(?:deg)?)+")
COPIED = _pattern(r"(.+?) ?-? ?copy(?: ?\(?\d+\)?)?")
NUMBERED = _pattern(r"(.+?)(?: ?\(\d+\)|~\d+)")
EDITED_BEFORE = _pattern(rf"(?:copy of |{_EDIT}[-_ ]?\d*(?:deg)?[-_ ])(.+)")
# A message of several photos gives them one time: WhatsApp Image 2023-05-11 at 10.20.30 (1)
COUNTED = _pattern(r"whatsapp (?:image|video) ")
IPHONE_EDITED = _pattern(r"IMG_E(\d+)")
BURST = _pattern(r"(?:\d+IMG_\d+_)?(.*?\d)?[-_. ]?(?P<burst>burst[-_ ]?\d*).*")
SECOND = _pattern(r"((?:.*[^\d])?(?:19|20)\d{6}[-_ ]?\d{6})[-_](?P<number>\d{1,4})")
FRAME_OF_FILE = _pattern(rf"(?P<label>.+?)(?P<video>[._-]{_VIDEO})[-_. ]?(?:frame)?[-_. ]?(?P<number>\d+)")
# but doorframe_12 is no frame of a video
FRAME = _pattern(r"(?P<label>.*?)(?P<video>[-_. ]?(?<![^\W\d_])frames?)[-_. ]?\(?(?P<number>\d+)\)?")
CLIP = _pattern(
    r"(?P<label>.*?)(?P<video>(?:(?<=^)|(?<=[-_. ]))(?:video|vid|clip|movie|mov|sequence|seq)"
    r"(?:[-_ ]?\d{1,4}|[-_ ][a-z]))[-_. ](?P<number>\d+)"
)

# Cameras, messengers and programs begin their file names with these words. They are not class names.
CAMERA_WORDS = frozenset(
    (
        *("aug", "augmented", "burst", "capture", "cimg", "clip", "dcim", "dji", "download", "dsc", "dscf", "dscn"),
        *("fb", "file", "frame", "gopr", "image", "images", "img", "kakaotalk", "mg", "mmexport", "mov", "mvimg"),
        *("photo", "pic", "pict", "picture", "pxl", "received", "scan", "screenshot", "signal", "snap", "snapchat"),
        *("snapshot", "telegram", "unnamed", "untitled", "viber", "vid", "video", "vlcsnap", "whatsapp", "win"),
    )
)
# 20230511_102030, 2023-05-11 10.20.30
DATED = re.compile(r"\D{0,3}(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d(?!\d{1,5}$)")
DATE = re.compile(r"(?<!\d)(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d(?!\d)")
LAST_NUMBER = re.compile(r"[ _\-(]*\d+[ _\-()]*$")


@dataclass(frozen=True)
class Origin:
    """Where a photo comes from, as its file name says."""

    source: str
    """The name of the original photo, of the video or of the burst."""
    label: str
    """The part of the name that can begin with a class."""
    is_version: bool = False
    """True if the name marks the photo as one of several versions, frames or shots."""
    is_hashed: bool = False
    """True if the name ends in a hash, so that equal names mean equal photos."""
    frame: int | None = None
    """The number of the frame, if the photo is one of a video."""


def stem(file_name: str) -> str:
    """A file name without its ending. Programs that convert photos leave two: apple_1.png.jpg."""
    return re.sub(rf"(\.{_PHOTO})+$", "", file_name, flags=re.IGNORECASE)


def origin(name: str, known: Container[str] = ()) -> Origin:
    """Where the photo with this stem comes from. `known` are the stems of the photos beside it."""
    if found := ROBOFLOW.fullmatch(name):
        inner = origin(found[1], known)
        return replace(inner, is_version=True, is_hashed=True)
    if found := AUGMENTOR.fullmatch(name) or KERAS.fullmatch(name):
        return Origin(found[1], found[1], True, is_hashed=True)
    if found := IPHONE_EDITED.fullmatch(name):
        return Origin(f"IMG_{found[1]}", name, True)
    for pattern in (EDITED, COPIED, NUMBERED, EDITED_BEFORE):
        found = pattern.fullmatch(name)
        if found and _is_version_of(found[1], pattern, known):
            return replace(origin(found[1], known), is_version=True)
    return _frame(name) or Origin(name, name)


def _is_version_of(source: str, pattern: re.Pattern[str], known: Container[str]) -> bool:
    """True if a name that `pattern` takes apart is that of a version of the photo with the stem `source`."""
    if pattern is NUMBERED:
        # Browsers and messengers count different photos: images.jpg, images (1).jpg, images (2).jpg, ...
        return source in known and source[-1:].isdigit() and not COUNTED.match(source)
    # apple_12_flip is a version of apple_12. But apple_crop_1, apple_crop_2, ... can be different photos.
    return source in known or (pattern in (EDITED, COPIED) and _names_one_photo(source))


def _names_one_photo(name: str) -> bool:
    has_number = any(map(str.isdigit, name))  # image_crop_1, image_crop_2, ... are different photos too
    return bool(re.search(r"(^|[-_ (])\d+\)?$", name)) or (has_number and is_camera_name(name))


def _frame(name: str) -> Origin | None:
    if found := SECOND.fullmatch(name):
        return Origin(found[1], name, True, frame=int(found["number"]))
    if (found := BURST.fullmatch(name)) and any(map(str.isdigit, name)):
        return Origin(found[1] or found["burst"], found[1] or name, True)
    for pattern in (FRAME_OF_FILE, FRAME, CLIP):
        if found := pattern.fullmatch(name):
            source = f"{found['label']}{found['video']}"
            return Origin(source, found["label"] or source, True, frame=int(found["number"]))
    return None


def class_in_name(name: str, known: Container[str] = ()) -> str:
    """The class that a stem begins with; empty if there is none.

    It is apple in apple_12, apple-12, apple12, apple (12), apple_12_jpg.rf.HASH, apple_frame_12 and apple.anything.
    Only the last number is cut: speed30_12 is of class speed30.
    """
    label = origin(name, known).label
    # Edge Impulse writes CLASS.ID.jpg. There, digits before the first dot can belong to the class.
    return label.split(".")[0].strip() if "." in label else without_number(label)


def without_number(label: str) -> str:
    """A label without its last number and without the blanks, `_`, `-` and brackets around it."""
    return LAST_NUMBER.sub("", label).strip(" _-()")


def is_camera_name(name: str) -> bool:
    """True if a camera, a messenger or a program gave the photo its name, which then says nothing about its class."""
    word = re.match(r"[\W\d_]*([^\W\d_]+)", name)
    return bool(DATED.match(name) or (word and word[1].lower() in CAMERA_WORDS) or re.fullmatch(r"[PG]\d{7}", name))


def has_date(name: str) -> bool:
    """True if a number in the name is a date, which photos of a whole day share."""
    return bool(DATE.search(name))
