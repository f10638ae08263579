"""Files beside photos that are not read, endings of photos that are, and photos of 16 bits."""

import os
import struct
import sys
import types
import zlib

import numpy as np
import pytest
from drawn_photos import draw, draw_all, run
from PIL import Image
from report_runs import classification_run

from block.data import reading
from block.errors import BlockError
from block.photos.prepare import prepare
from block.report import page
from block.settings import PhotoSettings
from esp32_deploy.errors import DeployError
from esp32_deploy.file_kinds import describe_unread, is_photo
from esp32_deploy.photos import UnreadablePhotoError, model_inputs, read_photo, used_range

GREEN = (0, 255, 0)
# the beginning of a HEIC file
HEIC = b"\0\0\0\x18ftypheic"


@pytest.fixture
def photos(tmp_path):
    return draw_all(tmp_path / "photos", *(f"{label}/{n}.png" for label in ("apple", "leaf") for n in range(6)))


@pytest.fixture
def pillow_heif(monkeypatch):
    """A stand-in for pillow-heif that reads every HEIC file as a green photo."""
    module = types.ModuleType("pillow_heif")

    def register_heif_opener():
        Image.register_open("HEIF", lambda *_: Image.new("RGB", (12, 8), GREEN), lambda head: head[4:12] == HEIC[4:])

    module.register_heif_opener = register_heif_opener
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))


@pytest.fixture
def no_pillow_heif(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)


def write(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# --- endings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        *((ending, "JPEG") for ending in ("jfif", "jpe", "JIF", "pjpeg", "pjp")),
        *((ending, "PPM") for ending in ("ppm", "pgm", "pbm", "pnm")),
        *((ending, "BMP") for ending in ("bmp", "dib")),
    ],
)
def test_other_endings_of_photos_are_read(photos, ending, kind):
    for n in range(4):
        path = photos / "sea" / f"{n}.{ending}"
        path.parent.mkdir(exist_ok=True)
        Image.new("1" if ending == "pbm" else "L" if ending == "pgm" else "RGB", (12, 8), "white").save(path, kind)
    prepared = run(photos)
    assert prepared.classes == ("apple", "leaf", "sea") and prepared.warnings == ()
    assert sum(counts["sea"] for counts in prepared.counts.values()) == 4
    assert read_photo(photos / "sea" / f"0.{ending}").min() > 250


@pytest.mark.usefixtures("pillow_heif")
def test_heic_is_read_with_pillow_heif(photos):
    for n in range(5):
        write(photos / "sea" / f"{n}.HEIC", HEIC)
    prepared = run(photos)
    assert (prepared.classes, prepared.warnings) == (("apple", "leaf", "sea"), ())
    assert tuple(read_photo(photos / "sea" / "0.HEIC")[0, 0]) == GREEN


@pytest.mark.usefixtures("no_pillow_heif")
def test_heic_without_pillow_heif_names_the_package(photos):
    path = write(photos / "apple" / "9.heic", HEIC)
    (warning,) = run(photos).warnings
    assert warning == (
        "Files that are not read: HEIC photos: 1 (apple/9.heic). HEIC photos need the package pillow-heif: "
        "pip install pillow-heif."
    )
    with pytest.raises(UnreadablePhotoError, match="pip install pillow-heif"):
        read_photo(path)


@pytest.mark.usefixtures("no_pillow_heif")
@pytest.mark.parametrize("ending", ["heic", "cr2", "mp4", "zip", "avif"])
def test_class_folder_without_readable_photos_is_refused(photos, ending):
    for n in range(6):
        write(photos / "sea" / f"{n}.{ending}")
    with pytest.raises(
        BlockError, match=rf"The folder sea/ .*: 6 \(sea/0\.{ending}, sea/1\.{ending} and 4 more\)"
    ) as refused:
        run(photos)
    assert "one folder for each class" not in str(refused.value)


@pytest.mark.usefixtures("no_pillow_heif")
def test_class_named_only_by_unread_files_is_refused(tmp_path):
    photos = draw_all(tmp_path / "photos", *(f"{label}_{n}.png" for label in ("apple", "leaf") for n in range(6)))
    write(photos / "sea_1.heic")
    with pytest.raises(BlockError, match=r"No photo of class 'sea' .* can be read \(sea_1\.heic\).*pillow-heif"):
        run(photos)


@pytest.mark.usefixtures("no_pillow_heif")
def test_unread_files_are_counted_by_kind(photos):
    for name in ("1.heic", "2.HEIC", "3.NEF", "4.mov", "5.mp4", "6.avi", "7.svg", "more.zip", "notes.txt", "data.csv"):
        write(photos / "leaf" / name)
    draw(photos / "leaf" / "8.png").rename(photos / "leaf" / "8.jpg_large")
    prepared = run(photos)
    (warning,) = prepared.warnings
    for part in (
        "HEIC photos: 2 (leaf/1.heic, leaf/2.HEIC)",
        "camera raw files: 1 (leaf/3.NEF)",
        "videos: 3 (leaf/4.mov, leaf/5.mp4 and 1 more)",
        "drawings: 1 (leaf/7.svg)",
        "archives: 1 (leaf/more.zip)",
        "pictures with another ending: 1 (leaf/8.jpg_large)",
    ):
        assert part in warning
    assert "notes.txt" not in warning and "data.csv" not in warning
    assert reading.read(photos.parent / "out").preparation.warnings == prepared.warnings


def test_notes_alone_are_not_worth_a_word(tmp_path):
    files = {name: write(tmp_path / name, b"text") for name in ("README.md", "LICENSE", "labels.txt", "model.pt")}
    assert describe_unread(files) == ""
    assert not any(map(is_photo, files.values()))


@pytest.mark.usefixtures("no_pillow_heif")
def test_pipe_beside_photos_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert describe_unread({"pipe": tmp_path / "pipe"}) == ""


def test_folders_without_photos_say_what_they_hold(tmp_path):
    write(tmp_path / "photos" / "1.heic")
    held = r"HEIC photos: 1 \(1\.heic\)"
    with pytest.raises(BlockError, match=rf"There are no photos in .*{held}"):
        prepare(tmp_path / "photos", tmp_path / "out", PhotoSettings(), 1)
    with pytest.raises(DeployError, match=rf"has no photos.*{held}"):
        model_inputs(tmp_path / "photos", (48, 48, 3), 1)


# --- 16 bits -----------------------------------------------------------------------------------------------


def deep(path, low, high):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.linspace(low, high, 64).reshape(8, 8).astype(np.uint16)).save(path)


@pytest.mark.parametrize(
    ("low", "high", "warns"), [(0, 4095, True), (29000, 31000, True), (0, 16383, True), (0, 65535, False)]
)
def test_photos_that_use_a_small_part_of_16_bits_give_a_warning(tmp_path, low, high, warns):
    for label in ("cold", "warm"):
        for n in range(5):
            deep(tmp_path / "photos" / label / f"{n}.png", low, high)
    prepared = run(tmp_path / "photos")
    if not warns:
        assert prepared.warnings == ()
        return
    (warning,) = prepared.warnings
    assert warning.startswith("10 of 10 photos of 16 bits use a small part of their range")
    assert f"values {low} to {high} of 0 to 65535" in warning
    data = reading.read(tmp_path / "out")
    assert data.preparation.warnings == (warning,)


def test_report_shows_the_warnings_of_the_preparation(tmp_path):
    outputs = classification_run(tmp_path, images=30)
    noted = tmp_path / "data" / "photos.json"
    run(draw_all(tmp_path / "photos", *(f"{label}/{n}.png" for label in "ab" for n in "123")))
    text = (
        (tmp_path / "out" / "photos.json")
        .read_text()
        .replace('"warnings": []', '"warnings": ["These photos are dark."]')
    )
    noted.write_text(text)
    page.write(outputs, reading.read(tmp_path / "data"))
    assert "These photos are dark." in outputs.report.read_text(encoding="utf-8")


def write_16_bit_colours(path, values):
    rows = np.repeat(values.astype(">u2")[:, :, None], 3, axis=2)
    height, width, _ = rows.shape
    if path.suffix == ".ppm":
        path.write_bytes(b"P6 %d %d 65535\n" % (width, height) + rows.tobytes())
        return
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0),
        b"IDAT": zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)),
        b"IEND": b"",
    }
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@pytest.mark.parametrize("ending", ["png", "ppm"])
@pytest.mark.parametrize("high", [4095, 65535])
def test_range_of_16_bit_colours_is_found(tmp_path, ending, high):
    path = tmp_path / f"colour.{ending}"
    write_16_bit_colours(path, np.linspace(0, high, 64).reshape(8, 8))
    with Image.open(path) as image:
        assert image.mode == "RGB"
        assert used_range(image) == pytest.approx((0, high / 65535), abs=1 / 255)


def test_photos_of_8_bits_have_no_range(tmp_path):
    with Image.open(draw(tmp_path / "plain.png")) as image:
        assert used_range(image) is None
