"""Preparation of photos: decoding, search, labels, splits and the arrays that are written."""

import json
import os
import re
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from block.data import contract, reading
from block.data.preparation import Preparation
from block.errors import BlockError
from block.photos.prepare import is_photo_folder, prepare
from block.settings import PhotoSettings
from esp32_deploy.photos import UnreadablePhotoError, read_photo

SIZE = 48
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def draw(path, colour=RED, size=(12, 8), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)
    return path


def draw_classes(root, **counts):
    for label, count in counts.items():
        for number in range(count):
            draw(root / label / f"{number:03}.png")
    return root


def annotate(path, *labels):
    boxes = "".join(
        f"<object><name>{label}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object>"
        for label in labels
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<annotation><size><width>0</width><height>0</height></size>{boxes}</annotation>")


def run(photos, out, labels_from=None, seed=1, track=iter, **choices):
    return prepare(photos, out, PhotoSettings(size=SIZE, labels_from=labels_from, **choices), seed, track)


def names(out, split="validation"):
    return set(reading.read(out).splits[split].sample_names)


@pytest.fixture
def photos(tmp_path):
    return tmp_path / "photos"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


# --- decoding ----------------------------------------------------------------------------------------------


def test_exif_rotation_is_applied(tmp_path):
    image = Image.new("RGB", (8, 4), GREEN)
    image.paste(RED, (0, 0, 4, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    pixels = read_photo(tmp_path / "turned.png")
    assert pixels.shape == (8, 4, 3)
    assert tuple(pixels[0, 0]) == RED and tuple(pixels[7, 0]) == GREEN


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_parts_become_white(tmp_path, mode):
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    image.convert(mode).save(tmp_path / "clear.png")
    assert read_photo(tmp_path / "clear.png").tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_transparent_palette_colour_becomes_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "palette.png", transparency=1)
    assert read_photo(tmp_path / "palette.png").tolist() == [[list(RED), [255, 255, 255]]]


def test_cmyk_is_converted_to_rgb(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "print.jpg", quality=100)
    red, green, blue = read_photo(tmp_path / "print.jpg")[4, 4]
    assert red > 250 and green < 5 and blue < 5


def test_sixteen_bit_gray_is_scaled_to_eight_bits(tmp_path):
    Image.fromarray(np.array([[0, 32768, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert read_photo(tmp_path / "deep.png")[0, :, 0].tolist() == [0, 128, 255]


def test_first_frame_of_an_animation_is_read(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert tuple(read_photo(tmp_path / "moving.gif")[0, 0]) == RED


def test_photo_with_a_wrong_extension_is_read(tmp_path):
    draw(tmp_path / "photo.png").rename(tmp_path / "photo.jpg")
    assert tuple(read_photo(tmp_path / "photo.jpg")[0, 0]) == RED


def test_decompression_bomb_is_unreadable(tmp_path, monkeypatch):
    draw(tmp_path / "bomb.png", size=(40, 40))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnreadablePhotoError, match="megapixels"):
        read_photo(tmp_path / "bomb.png")


def test_truncated_photo_is_unreadable(tmp_path):
    path = tmp_path / "cut.bmp"
    draw(path, size=(40, 40))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UnreadablePhotoError, match="truncated"):
        read_photo(path)


# --- finding photos ----------------------------------------------------------------------------------------


def test_photo_folder_has_a_photo_at_any_depth(photos):
    assert not is_photo_folder(photos)
    photos.mkdir()
    (photos / "notes.txt").write_text("no photo")
    assert not is_photo_folder(photos)
    draw(photos / "deep" / "deeper" / "photo.JPG")
    assert is_photo_folder(photos)


@pytest.mark.parametrize("name", [".hidden.png", "__MACOSX/x.png", ".cache/x.png", "Thumbs.db", "notes.txt"])
def test_hidden_and_other_files_are_ignored(photos, out, name):
    draw_classes(photos, apple=5, banana=5)
    (photos / "apple" / name).parent.mkdir(exist_ok=True)
    (photos / "apple" / name).write_bytes(b"rubbish")
    assert run(photos, out).preparation.skipped == {}


def test_common_extensions_are_photos(photos, out):
    for suffix in ("jpg", "JPEG", "png", "bmp", "gif", "webp", "tif", "TIFF"):
        draw(photos / "apple" / f"photo.{suffix}")
    draw_classes(photos, banana=2)
    counts = run(photos, out).counts
    assert counts["train"]["apple"] + counts["validation"]["apple"] == 8


def test_links_are_followed_but_not_in_circles(photos, out, tmp_path):
    draw_classes(photos, apple=3, banana=3)
    draw(tmp_path / "elsewhere" / "x.png")
    (photos / "apple" / "linked.png").symlink_to(tmp_path / "elsewhere" / "x.png")
    (photos / "cherry").symlink_to(draw_classes(tmp_path / "more", cherry=2) / "cherry")
    (photos / "banana" / "round").symlink_to(photos)
    counts = run(photos, out).counts
    assert {label: counts["train"][label] + counts["validation"][label] for label in counts["train"]} == {
        "apple": 4,
        "banana": 3,
        "cherry": 2,
    }


def test_unreadable_photos_are_skipped_with_their_reasons(photos, out):
    draw_classes(photos, apple=10, banana=10)
    (photos / "apple" / "empty.jpg").touch()
    cut = draw(photos / "banana" / "cut.bmp", size=(40, 40))
    cut.write_bytes(cut.read_bytes()[:1000])
    prepared = run(photos, out)
    assert list(prepared.preparation.skipped) == ["apple/empty.jpg", "banana/cut.bmp"]
    assert sum(map(sum, (split.values() for split in prepared.counts.values()))) == 20
    note = reading.read(out).preparation.skipped
    assert note == prepared.preparation.skipped
    assert str(photos) not in json.dumps(note)


def test_many_unreadable_photos_are_refused(photos, out):
    draw_classes(photos, apple=5, banana=5)
    for number in range(2):
        (photos / "apple" / f"broken{number}.jpg").write_bytes(b"rubbish")
    with pytest.raises(BlockError, match=r"2 of 12 photos .*\(apple/broken0\.jpg: not a picture"):
        run(photos, out)


def test_class_with_only_unreadable_photos_is_refused(photos, out):
    draw_classes(photos, apple=20, banana=1)
    cut = draw(photos / "banana" / "cut.bmp", size=(40, 40))
    cut.write_bytes(cut.read_bytes()[:1000])
    with pytest.raises(BlockError, match=r"photo of class 'banana' .* can be read"):
        run(photos, out)
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("place", ["photos", "photos/out"])
def test_output_folder_inside_the_photo_folder_is_refused(photos, tmp_path, place):
    draw_classes(photos, apple=2, banana=2)
    with pytest.raises(BlockError, match="Choose an output folder outside"):
        run(photos, tmp_path / place)


def test_missing_folder_empty_folder_and_archive_are_refused(photos, out, tmp_path):
    with pytest.raises(BlockError, match="does not exist"):
        run(photos, out)
    photos.mkdir()
    with pytest.raises(BlockError, match="no photos"):
        run(photos, out)
    archive = tmp_path / "photos.zip"
    archive.touch()
    with pytest.raises(BlockError, match="unpack"):
        run(archive, out)


# --- classes -----------------------------------------------------------------------------------------------


def test_photos_in_subfolders_have_the_class_of_the_top_folder(photos, out):
    draw_classes(photos, apple=2, banana=2)
    draw(photos / "apple" / "garden" / "2024" / "000.png")
    prepared = run(photos, out)
    assert prepared.classes == ("apple", "banana")
    assert prepared.preparation.labels_from == "folder"
    assert "apple/garden/2024/000.png" in names(out) | names(out, "train")


@pytest.mark.parametrize("name", ["apple_12", "apple-12", "apple12", "apple (12)", "apple.4f1c.2", "apple.12"])
def test_file_name_begins_with_the_class(photos, out, name):
    draw(photos / f"{name}.png")
    for other in ("apple_1", "kiwi_1", "kiwi_2"):
        draw(photos / f"{other}.png")
    assert run(photos, out).classes == ("apple", "kiwi")


def test_camera_names_are_classes_only_on_request(photos, out):
    for number in range(4):
        draw(photos / f"{'IMG' if number % 2 else 'DSC'}_{number}.png")
    with pytest.raises(BlockError, match="do not seem to begin with classes"):
        run(photos, out)
    assert run(photos, out, labels_from="name").classes == ("DSC", "IMG")


def test_camera_names_do_not_contradict_class_folders(photos, out):
    for number, label in enumerate(["apple", "apple", "banana", "banana"]):
        draw(photos / label / f"{'IMG' if number % 2 else 'DSC'}_{number}.png")
    assert run(photos, out).preparation.labels_from == "folder"


def test_sources_that_agree_are_accepted(photos, out):
    for label in ("apple", "banana"):
        for number in range(2):
            draw(photos / label / f"{label}_{number}.png")
            annotate(photos / label / f"{label}_{number}.xml", label)
    assert run(photos, out).preparation.labels_from == "folder"


def test_sources_that_disagree_are_refused_by_name(photos, out):
    for number in range(4):
        draw(photos / f"{'red' if number % 2 else 'green'}_{number}.png")
        annotate(photos / f"{'red' if number % 2 else 'green'}_{number}.xml", "apple" if number < 2 else "pear")
    with pytest.raises(BlockError, match=r"--labels-from name \(green, red\); --labels-from voc \(apple, pear\)"):
        run(photos, out)
    assert run(photos, out, labels_from="voc").classes == ("apple", "pear")


def test_source_that_does_not_fit_is_refused_with_a_reason(photos, out):
    draw_classes(photos, apple=2, banana=2)
    with pytest.raises(BlockError, match=r"(?s)--labels-from voc does not work.*4 of 4 photos have no Pascal VOC"):
        run(photos, out, labels_from="voc")


def test_single_class_is_refused(photos, out):
    draw_classes(photos, apple=4)
    with pytest.raises(BlockError, match="one class, 'apple'"):
        run(photos, out)


def test_voc_files_in_a_folder_annotations_are_read(photos, out):
    for number in range(4):
        draw(photos / "JPEGImages" / f"{number}.png")
        annotate(photos / "Annotations" / f"{number}.xml", *["cat" if number % 2 else "dog"] * 2)
    prepared = run(photos, out)
    assert (prepared.preparation.labels_from, prepared.classes) == ("voc", ("cat", "dog"))


def test_classification_refuses_photos_with_boxes_of_several_classes(photos, out):
    for number in range(4):
        draw(photos / f"{number}.png")
        annotate(photos / f"{number}.xml", *(["cat", "dog"] if number < 2 else ["cat"]))
    with pytest.raises(BlockError, match=r"2 of 4 photos .* 0\.png \(cat, dog\).*--labels-from name"):
        run(photos, out, task="classification")


@pytest.mark.parametrize(
    "text",
    [
        b'<!DOCTYPE a [<!ENTITY b "bbbb">]><annotation/>',
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE a><annotation/>'.encode("utf-16"),
        b"<annotation><object>",
        b"",
    ],
)
def test_xml_with_a_doctype_and_broken_xml_are_refused(photos, out, text):
    draw(photos / "x.png")
    (photos / "x.xml").write_bytes(text)
    with pytest.raises(BlockError, match=r"x\.xml cannot be read as Pascal VOC"):
        run(photos, out, labels_from="voc")


def export_classes(photos, place=".", category="training", prefix=""):
    files = []
    for number, label in enumerate(["cat", "dog"] * 4):
        draw(photos / place / f"{number}.png")
        files.append(
            {
                "path": f"{prefix}{number}.png",
                "name": str(number),
                "category": category,
                "label": {"type": "label", "label": label},
            }
        )
    return {"version": 1, "files": files}


def test_export_labels_are_the_classes(photos, out):
    content = export_classes(photos, "training", prefix="training/")
    (photos / "info.labels").write_text(json.dumps(content))
    prepared = run(photos, out)
    assert (prepared.preparation.labels_from, prepared.classes) == ("export", ("cat", "dog"))


def test_export_files_beside_the_photos_are_read(photos, out):
    for folder in ("training", "testing"):
        content = export_classes(photos, folder, folder)
        (photos / folder / "info.labels").write_text(json.dumps(content))
    prepared = run(photos, out)
    assert prepared.preparation.labels_from == "export"
    assert sum(prepared.counts["holdout"].values()) == 8


def test_export_categories_are_the_split(photos, out):
    content = export_classes(photos)
    for entry in content["files"][:2]:
        entry["category"] = "testing"
    content["files"][2]["category"] = "split"
    (photos / "info.labels").write_text(json.dumps(content))
    prepared = run(photos, out)
    assert names(out, "holdout") == {"0.png", "1.png"}
    assert prepared.preparation.split_from.startswith("the categories in info.labels; validation: 20 %")


def test_export_boxes_of_one_class_give_the_class(photos, out):
    boxes = {}
    for number in range(4):
        draw(photos / f"{number}.png")
        boxes[f"{number}.png"] = [{"label": "cat" if number % 2 else "dog", "x": 1, "y": 1, "width": 2, "height": 2}]
    (photos / "bounding_boxes.labels").write_text(
        json.dumps({"version": 1, "type": "bounding-box-labels", "boundingBoxes": boxes})
    )
    (photos / "info.labels").write_text(
        json.dumps(
            {
                "version": 1,
                "files": [
                    {"path": name, "category": "training", "label": {"type": "unlabeled"}, "boundingBoxes": []}
                    for name in boxes
                ],
            }
        )
    )
    assert run(photos, out).classes == ("cat", "dog")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"version": 2}',
        '{"version": 1}',
        '{"version": 1, "files": [1]}',
        '{"version": 1, "files": [{"path": "x.png", "boundingBoxes": 5}]}',
    ],
)
def test_broken_export_is_refused(photos, out, content):
    draw(photos / "x.png")
    (photos / "info.labels").write_text(content)
    with pytest.raises(BlockError, match=r"info\.labels"):
        run(photos, out, labels_from="export")


# --- splits ------------------------------------------------------------------------------------------------


def test_a_fifth_of_each_class_is_for_validation(photos, out):
    draw_classes(photos, apple=20, banana=10, cherry=2)
    counts = run(photos, out).counts
    assert counts == {
        "train": {"apple": 16, "banana": 8, "cherry": 1},
        "validation": {"apple": 4, "banana": 2, "cherry": 1},
    }


def test_class_with_one_photo_is_refused(photos, out):
    draw_classes(photos, apple=4, kiwi=1)
    with pytest.raises(BlockError, match="only one training photo of class kiwi"):
        run(photos, out)


def test_split_depends_only_on_names_and_seed(photos, out, tmp_path):
    draw_classes(photos, apple=30, banana=30)
    run(photos, out)
    first = names(out)
    run(photos, out)
    assert names(out) == first
    run(photos, out, seed=2)
    assert names(out) != first
    moved = shutil.copytree(photos, tmp_path / "moved")
    run(moved, out)
    assert names(out) == first


def test_split_does_not_depend_on_the_order_of_the_directory(photos, out, monkeypatch):
    draw_classes(photos, apple=10, banana=10)
    run(photos, out)
    first = [split.sample_names for split in reading.read(out).splits.values()]
    listed = type(photos).iterdir
    monkeypatch.setattr(type(photos), "iterdir", lambda self: iter(sorted(listed(self), reverse=True)))
    run(photos, out)
    assert [split.sample_names for split in reading.read(out).splits.values()] == first
    assert all(list(split) == sorted(split) for split in first)


def test_photos_of_other_classes_do_not_change_a_split(photos, out):
    draw_classes(photos, apple=20, banana=20)
    run(photos, out)
    before = {name for name in names(out) if name.startswith("apple/")}
    draw_classes(photos, banana=35, cherry=10)
    run(photos, out)
    assert {name for name in names(out) if name.startswith("apple/")} == before


@pytest.mark.parametrize("folder", ["val", "valid", "Validation"])
def test_given_validation_split_is_kept(photos, out, folder):
    draw_classes(photos / "train", apple=4, banana=4)
    draw_classes(photos / folder, apple=3, banana=1)
    prepared = run(photos, out)
    assert prepared.counts["validation"] == {"apple": 3, "banana": 1}
    assert prepared.preparation.split_from == f"given by the folders train/, {folder}/"


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("training", "testing")])
def test_test_folder_is_the_holdout_split(photos, out, train, test):
    draw_classes(photos / train, apple=10, banana=10)
    draw_classes(photos / test, apple=3, banana=2)
    prepared = run(photos, out)
    assert prepared.counts == {
        "train": {"apple": 8, "banana": 8},
        "validation": {"apple": 2, "banana": 2},
        "holdout": {"apple": 3, "banana": 2},
    }
    assert all(name.startswith(f"{train}/") for name in names(out))


def test_three_given_splits_are_kept(photos, out):
    for split, count in (("train", 4), ("val", 2), ("test", 3)):
        draw_classes(photos / split, apple=count, banana=count)
    counts = run(photos, out).counts
    assert {split: sum(classes.values()) for split, classes in counts.items()} == {
        "train": 8,
        "validation": 4,
        "holdout": 6,
    }


def test_folder_train_beside_other_classes_is_a_class(photos, out):
    draw_classes(photos, train=4, bus=4)
    assert run(photos, out).classes == ("bus", "train")


def test_photos_outside_the_given_splits_are_refused(photos, out):
    for split in ("train", "test", "new"):
        draw_classes(photos / split, apple=2, banana=2)
    with pytest.raises(BlockError, match=r"the folders train/, test/, but 4 of 12 photos .*: new/apple/000\.png"):
        run(photos, out, labels_from="folder")


def test_class_without_training_photos_is_refused(photos, out):
    draw_classes(photos / "train", apple=2, banana=2)
    draw_classes(photos / "test", apple=2, kiwi=2)
    with pytest.raises(BlockError, match="no training photos of class kiwi"):
        run(photos, out)


def test_voc_lists_are_the_split(photos, out):
    for number in range(6):
        draw(photos / "JPEGImages" / f"{number}.png")
        annotate(photos / "Annotations" / f"{number}.xml", "cat" if number % 2 else "dog")
    lists = photos / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for name, members in (("trainval", "0123"), ("train", "01"), ("val", "23"), ("test", "45")):
        (lists / f"{name}.txt").write_text("\n".join(members) + "\n")
    prepared = run(photos, out)
    assert {split: sum(counts.values()) for split, counts in prepared.counts.items()} == {
        "train": 2,
        "validation": 2,
        "holdout": 2,
    }
    assert names(out, "holdout") == {"JPEGImages/4.png", "JPEGImages/5.png"}


# --- written arrays ----------------------------------------------------------------------------------------


def test_arrays_hold_the_photos_and_their_classes(photos, out):
    draw_classes(photos, apple=2)
    for number in range(2):
        draw(photos / "sky" / f"{number}.png", BLUE)
    run(photos, out)
    for split in reading.read(out).splits.values():
        colours = {
            name.split("/")[0]: pixels[0, 0].tolist()
            for name, pixels in zip(split.sample_names, split.features, strict=True)
        }
        assert colours == {"apple": [1, 0, 0], "sky": [0, 0, 1]}
        assert split.labels.tolist() == [0, 1]


def test_preparation_is_recorded_without_paths(photos, out):
    draw_classes(photos, apple=2, banana=2)
    run(photos, out, colour="grayscale", resize="fit", seed=7)
    data = reading.read(out)
    assert data.channels == 1
    assert data.preparation == Preparation(
        size=SIZE,
        resize="fit",
        channels=1,
        labels_from="folder",
        seed=7,
        split_from="validation: 20 % of each class's training photos (seed 7)",
    )


def test_photos_prepared_by_another_version_are_refused(photos, out):
    draw_classes(photos, apple=2, banana=2)
    run(photos, out)
    noted = json.loads((out / "photos.json").read_text())
    noted["preparation"]["resize_mode"] = noted["preparation"].pop("resize")
    (out / "photos.json").write_text(json.dumps(noted))
    with pytest.raises(
        BlockError, match=r"photos\.json .*another version prepared these photos.*Prepare the photos again"
    ):
        reading.read(out)


def test_progress_counts_every_photo(photos, out):
    draw_classes(photos, apple=2, banana=2)
    seen = []
    run(photos, out, track=lambda every: (seen.append(name) or name for name in every))
    assert seen == ["apple/000.png", "apple/001.png", "banana/000.png", "banana/001.png"]


@pytest.mark.skipif(os.name == "nt", reason="file names are not bytes on Windows")
def test_names_that_are_not_utf8_are_escaped(photos, out):
    draw_classes(photos, apple=2)
    folder = os.fsencode(photos) + b"/p\xe4re"
    os.mkdir(folder)  # noqa: PTH102 (a path of bytes)
    for number in range(2):
        shutil.copy(photos / "apple" / "000.png", os.fsdecode(folder) + f"/{number}.png")
    assert run(photos, out).classes == ("apple", "p\\xe4re")


# --- real data sets ----------------------------------------------------------------------------------------


def test_fruit_needs_a_choice_of_labels(shared_data, out):
    with pytest.raises(BlockError, match=r"--labels-from name \(apple, banana, mixed, \.\.\.\); --labels-from voc"):
        run(shared_data / "fruit", out)


def test_fruit_boxes_of_several_classes_cannot_be_classified(shared_data, out):
    with pytest.raises(BlockError, match=r"24 of 300 photos .* boxes of several classes"):
        run(shared_data / "fruit", out, labels_from="voc", task="classification")


def test_fruit_is_labelled_by_file_name(shared_data, photos, out):
    for split in ("train", "test"):
        (photos / split).mkdir(parents=True)
        for path in sorted((shared_data / "fruit" / split).glob("*.jpg"))[::4]:
            (photos / split / path.name).symlink_to(path)
    prepared = run(photos, out)
    assert (prepared.preparation.labels_from, prepared.preparation.skipped) == ("name", {})
    assert prepared.counts == {
        "train": {"apple": 15, "banana": 14, "mixed": 4, "orange": 14},
        "validation": {"apple": 4, "banana": 4, "mixed": 1, "orange": 4},
        "holdout": {"apple": 5, "banana": 5, "mixed": 1, "orange": 4},
    }


def test_blood_cells_cannot_be_classified(shared_data, out):
    with pytest.raises(BlockError, match=r"354 of 364 photos .* boxes of several classes"):
        run(shared_data / "bccd", out, task="classification")


def test_blood_cells_are_prepared_for_detection_with_their_own_split(shared_data, out):
    dataset = shared_data / "bccd" / "BCCD"
    prepared = run(shared_data / "bccd", out, task="detection")
    assert prepared.preparation.split_from == "given by the lists in ImageSets/Main"
    # two boxes in the annotations have no width
    assert sum(prepared.preparation.dropped_boxes.values()) == 2
    drawn = Counter()
    for split, name in {"train": "train", "validation": "val", "holdout": "test"}.items():
        listed = (dataset / "ImageSets" / "Main" / f"{name}.txt").read_text().split()
        assert len(np.load(out / contract.FEATURE_FILES[split])) == len(listed)
        for photo in listed:
            for label in re.findall("<name>(.*)</name>", (dataset / "Annotations" / f"{photo}.xml").read_text()):
                drawn[split, label] += 1
    counted = Counter({(split, label): n for split, row in prepared.counts.items() for label, n in row.items()})
    assert sum(drawn.values()) == 4888
    assert sum((drawn - counted).values()) == 2 and not counted - drawn


def test_hand_signs_are_labelled_by_folder(shared_data, photos, out):
    for digit in "01":
        (photos / digit).mkdir(parents=True)
        for path in sorted((shared_data / "sign-digits" / digit).iterdir())[:10]:
            shutil.copy(path, photos / digit)
    prepared = run(photos, out)
    assert prepared.preparation.labels_from == "folder"
    assert prepared.counts["validation"] == {"0": 2, "1": 2}


def test_photos_with_boxes_are_prepared_for_detection(photos, out):
    for number in range(12):
        draw(photos / f"{number:02}.png", size=(96, 48))
        box = f"<xmin>{number}</xmin><ymin>6</ymin><xmax>{number + 20}</xmax><ymax>16</ymax>"
        flat = "<xmin>5</xmin><ymin>5</ymin><xmax>5</xmax><ymax>9</ymax>"
        drawn = [] if number % 4 == 3 else [box, flat]
        objects = "".join(f"<object><name>cell</name><bndbox>{edges}</bndbox></object>" for edges in drawn)
        (photos / f"{number:02}.xml").write_text(f"<annotation>{objects}</annotation>")
    # The cropped square begins at x = 24 px. The boxes of photos 0, 1, 2 and 4 end there or before. The boxes of photos
    # 5, 6, 8 and 9 keep 1, 2, 4 and 5 of 20 px. Photo 7 has no boxes. Photo 10 keeps 6 px, which is enough.
    cropped = run(photos, out.parent / "cropped", task="detection", resize="crop").preparation.dropped_boxes
    assert cropped == {f"{number:02}.png": 1 if number == 10 else 2 for number in (0, 1, 2, 4, 5, 6, 8, 9, 10)}
    prepared = run(photos, out, task="detection")
    assert prepared.preparation.labels_from == "voc"
    assert prepared.preparation.dropped_boxes == {f"{number:02}.png": 1 for number in range(12) if number % 4 != 3}
    assert sum(counts["cell"] for counts in prepared.counts.values()) == 9
    data = reading.read(out)
    assert (data.task, data.classes, data.dropped_boxes) == ("detection", ("cell",), 0)
    boxes = {
        name: label.tolist()
        for split in data.splits.values()
        for name, label in zip(split.sample_names, split.labels, strict=True)
    }
    # squashed to half the width; the height is the same
    assert boxes["04.png"] == [[0, 2, 6, 10, 10]]
    assert boxes["03.png"] == []
    assert data.preparation.dropped_boxes == prepared.preparation.dropped_boxes


def test_detection_class_with_only_unreadable_training_photos_is_refused(photos, out):
    for number in range(12):
        draw(photos / f"{number:02}.png", size=(96, 48))
        annotate(photos / f"{number:02}.xml", *(["cell", "rare"] if number == 3 else ["cell"]))
    broken = (photos / "03.png").read_bytes()[:60]
    (photos / "03.png").write_bytes(broken)
    with pytest.raises(BlockError, match=r"No training photo of class 'rare' .* can be read \(03\.png\)"):
        run(photos, out, task="detection")
