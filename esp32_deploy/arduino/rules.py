"""What the Arduino IDE, arduino-lint and a C++ compiler ask of a library, checked before one is written."""

import re
from collections.abc import Mapping

from esp32_deploy.errors import DeployError

NAME_PATTERN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
LONGEST_NAME = 32
MOST_FILES = 30

CATEGORIES = (
    "Display",
    "Communication",
    "Signal Input/Output",
    "Sensors",
    "Device Control",
    "Timing",
    "Data Storage",
    "Data Processing",
    "Other",
)
REQUIRED_PROPERTIES = (
    *("name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"),
    "includes",
)
REQUIRED_FILES = ("library.properties", "keywords.txt", "README.md", "LICENSE")
FORBIDDEN_SUFFIXES = (".exe", ".pde", ".development")

CPP_KEYWORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class compl
    concept const consteval constexpr constinit const_cast continue co_await co_return co_yield decltype default delete
    do double dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable
    namespace new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast
    requires return short signed sizeof static static_assert static_cast struct switch template this thread_local throw
    true try typedef typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq
"""
# a header of this name would hide one that the core or the compiler includes; in lower case, for file systems that
# do not tell cases apart
TAKEN_HEADERS = """
    assert complex ctype errno fenv float inttypes iso646 limits locale malloc math memory new setjmp signal stdarg
    stdbool stddef stdint stdio stdlib string strings time unistd utility wchar wctype
    board boards client esp esp_camera freertos hardwareserial ipaddress pins_arduino print printable recorded sensor
    server spi stream tensorflow tflite udp wifi wire wstring
"""
# names that Arduino's core, its sketches or the C library give to something else
TAKEN_NAMES = """
    abs binary bit boolean byte constrain default delay external frame high index input interrupts loop low main map
    max micros millis min output problem random result round serial setup spotter sq std tone word yield
"""


class LibraryError(DeployError):
    """A library that Arduino would not take, or a choice that makes none."""


def check_name(name: str, flag: str = "--name") -> None:
    """Raises LibraryError, with the reason, for a name that cannot be a library, a header and a namespace.

    `flag` is the option by which a person gives the name.
    """
    lower = name.lower()
    reason = None
    if not NAME_PATTERN.fullmatch(name):
        reason = "it takes letters, digits and underscores, beginning with a letter"
    elif len(name) > LONGEST_NAME:
        reason = f"it has {len(name)} characters, and {LONGEST_NAME} is the most"
    elif "library" in lower or lower.startswith("arduino"):
        reason = 'Arduino takes no name with "library" in it or "Arduino" in front'
    elif "__" in name or name in CPP_KEYWORDS.split():
        reason = "C++ keeps that word for itself"
    elif lower in TAKEN_HEADERS.split():
        reason = f"its header would hide another {lower}.h"
    elif lower in TAKEN_NAMES.split():
        reason = "Arduino gives that name to something else"
    if reason is not None:
        raise LibraryError(
            f"The library cannot be called {name!r}: {reason}. Choose one such as fruit_spotter ({flag})."
        )


def check(name: str, files: Mapping[str, bytes]) -> None:
    """Checks a whole library, files by their path below its folder; raises LibraryError for the first broken rule."""
    check_name(name)
    missing = [path for path in (*REQUIRED_FILES, f"src/{name}.h") if path not in files]
    if missing:
        raise LibraryError(f"The library lacks {missing[0]}.")
    if len(files) >= MOST_FILES:
        raise LibraryError(f"The library has {len(files)} files; fewer than {MOST_FILES} are expected.")
    for path in files:
        _check_path(path)
    _check_properties(name, files["library.properties"].decode())


def _check_path(path: str) -> None:
    if path.endswith(FORBIDDEN_SUFFIXES) or ".." in path.split("/") or path.startswith("/"):
        raise LibraryError(f"{path} must not be in a library.")
    if not path.endswith(".ino"):
        return
    folder, _, file = path.rpartition("/")
    if not folder.startswith("examples/") or file != f"{folder.rpartition('/')[2]}.ino":
        raise LibraryError(f"{path} must lie below examples, in a folder of its name.")


def _check_properties(name: str, text: str) -> None:
    properties = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    for key in REQUIRED_PROPERTIES:
        if not properties.get(key, "").strip():
            raise LibraryError(f"library.properties lacks {key}.")
    if len(properties) != len([line for line in text.splitlines() if line.strip()]):
        raise LibraryError("library.properties has a line that is no key=value, or a key twice.")
    if properties["name"] != name or properties["includes"] != f"{name}.h":
        raise LibraryError("library.properties is of another library.")
    if not re.fullmatch(r"\d+\.\d+\.\d+", properties["version"]):
        raise LibraryError(f"Version {properties['version']} is not of three numbers.")
    if properties["category"] not in CATEGORIES:
        raise LibraryError(f"Category {properties['category']!r} is not among Arduino's.")
    if properties["paragraph"].startswith(properties["sentence"]):
        raise LibraryError("The paragraph repeats the sentence.")
