"""Checks a library before it is written: the rules of the Arduino IDE, arduino-lint and C++."""

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
# A library of this name would have a header that hides one of the core or the compiler. The names are in lower case,
# because some file systems do not distinguish upper and lower case.
TAKEN_HEADERS = """
    assert complex ctype errno fenv float inttypes iso646 limits locale malloc math memory new setjmp signal stdarg
    stdbool stddef stdint stdio stdlib string strings time unistd utility wchar wctype
    board boards client esp esp_camera freertos hardwareserial ipaddress pins_arduino print printable recorded sensor
    server spi stream tensorflow tflite udp wifi wire wstring
"""
# Names that Arduino's core, the sketches or the C library already use.
TAKEN_NAMES = """
    abs binary bit boolean byte constrain default delay external frame high index input interrupts loop low main map
    max micros millis min output problem random result round serial setup spotter sq std tone word yield
"""


class LibraryError(DeployError):
    """Arduino would not accept the library, or an option is not valid."""


def check_name(name: str, flag: str = "--name") -> None:
    """Raises LibraryError, with the reason, if a library, a header and a namespace cannot all have this name.

    `flag` is the option that sets the name. The message names it.
    """
    lower = name.lower()
    reason = None
    if not NAME_PATTERN.fullmatch(name):
        reason = "a name begins with a letter and has only letters, digits and underscores"
    elif len(name) > LONGEST_NAME:
        reason = f"it has {len(name)} characters, at most {LONGEST_NAME} are allowed"
    elif "library" in lower or lower.startswith("arduino"):
        reason = 'Arduino allows no name that contains "library" or begins with "Arduino"'
    elif "__" in name or name in CPP_KEYWORDS.split():
        reason = "C++ reserves that word"
    elif lower in TAKEN_HEADERS.split():
        reason = f"its header would hide another {lower}.h"
    elif lower in TAKEN_NAMES.split():
        reason = "Arduino already uses that name"
    if reason is not None:
        raise LibraryError(
            f"The library cannot be called {name!r}: {reason}. Choose a name such as fruit_spotter ({flag})."
        )


def check(name: str, files: Mapping[str, bytes]) -> None:
    """Checks all files of a library, by their path in its folder. Raises LibraryError for the first broken rule."""
    check_name(name)
    missing = [path for path in (*REQUIRED_FILES, f"src/{name}.h") if path not in files]
    if missing:
        raise LibraryError(f"The library lacks {missing[0]}.")
    if len(files) >= MOST_FILES:
        raise LibraryError(f"The library has {len(files)} files. Fewer than {MOST_FILES} are expected.")
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
        raise LibraryError(f"{path} must lie below examples, in a folder of the same name.")


def _check_properties(name: str, text: str) -> None:
    properties = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    for key in REQUIRED_PROPERTIES:
        if not properties.get(key, "").strip():
            raise LibraryError(f"library.properties lacks {key}.")
    if len(properties) != len([line for line in text.splitlines() if line.strip()]):
        raise LibraryError("library.properties has a line that is not key=value, or the same key twice.")
    if properties["name"] != name or properties["includes"] != f"{name}.h":
        raise LibraryError("library.properties belongs to another library.")
    if not re.fullmatch(r"\d+\.\d+\.\d+", properties["version"]):
        raise LibraryError(f"Version {properties['version']} does not have three numbers.")
    if properties["category"] not in CATEGORIES:
        raise LibraryError(f"Category {properties['category']!r} is not one of Arduino's categories.")
    if properties["paragraph"].startswith(properties["sentence"]):
        raise LibraryError("The paragraph repeats the sentence.")
