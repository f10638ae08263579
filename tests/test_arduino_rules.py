import pytest

from esp32_deploy.arduino import rules
from esp32_deploy.arduino.rules import LibraryError

PROPERTIES = """name=fruit
version=1.0.0
author=Someone
maintainer=Someone
sentence=Sees fruit.
paragraph=On a board.
category=Data Processing
url=https://example.com
architectures=esp32
includes=fruit.h
"""


def files(properties=PROPERTIES, **more):
    texts = {"library.properties": properties, "keywords.txt": "", "README.md": "", "LICENSE": "", "src/fruit.h": ""}
    return {path: text.encode() for path, text in (texts | more).items()}


@pytest.mark.parametrize("name", ["fruit", "fruit_spotter", "Fruit2", "a" * 32])
def test_valid_names_pass(name):
    rules.check_name(name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "letters, digits and underscores"),
        ("2fruit", "begins with a letter"),
        ("_fruit", "begins with a letter"),
        ("fruit-spotter", "letters, digits and underscores"),
        ("fruit spotter", "letters, digits and underscores"),
        ("früchte", "letters, digits and underscores"),
        ("fruit\n", "letters, digits and underscores"),
        ("a" * 33, "33 characters, at most 32 are allowed"),
        ("fruit_library", 'no name that contains "library"'),
        ("ArduinoFruit", 'begins with "Arduino"'),
        ("class", "C\\+\\+ reserves that word"),
        ("my__fruit", "C\\+\\+ reserves that word"),
        ("string", "would hide another string.h"),
        ("WiFi", "would hide another wifi.h"),
        ("esp_camera", "would hide another esp_camera.h"),
        ("setup", "Arduino already uses that name"),
        ("HIGH", "Arduino already uses that name"),
    ],
)
def test_invalid_names_are_refused_with_the_reason(name, reason):
    with pytest.raises(LibraryError, match=reason):
        rules.check_name(name)


def test_a_complete_library_passes():
    rules.check("fruit", files(**{"examples/Look/Look.ino": ""}))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (files(**{"examples/Look/See.ino": ""}), "must lie below examples, in a folder of the same name"),
        (files(**{"src/Look.ino": ""}), "must lie below examples"),
        (files(**{"setup.exe": ""}), "must not be in a library"),
        (files(**{"../secrets": ""}), "must not be in a library"),
        (files(**{f"extras/{n}": "" for n in range(30)}), "35 files. Fewer than 30"),
        ({path: content for path, content in files().items() if path != "LICENSE"}, "lacks LICENSE"),
        (files(PROPERTIES.replace("url=https://example.com\n", "")), "lacks url"),
        (files(PROPERTIES.replace("Data Processing", "Fruit")), "'Fruit' is not one of Arduino's"),
        (files(PROPERTIES.replace("1.0.0", "new")), "Version new"),
        (files(PROPERTIES.replace("On a board.", "Sees fruit. On a board.")), "repeats the sentence"),
        (files(PROPERTIES.replace("includes=fruit.h", "includes=pear.h")), "belongs to another library"),
        (files(PROPERTIES + "no pair\n"), "is not key=value"),
    ],
)
def test_a_broken_rule_is_refused_by_name(changed, message):
    with pytest.raises(LibraryError, match=message):
        rules.check("fruit", changed)
