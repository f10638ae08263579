"""YOLO sets in the layouts that people have: what is read, and what is refused in which words."""

import pytest
import yaml
from boxed_photos import assert_boxes_surround_their_blocks, boxes_in, draw, prepared

from block.errors import BlockError

BOX = (20, 30, 50, 70)
LINE = "{} 0.364583333 0.520833333 0.3125 0.416666667"
READ = (20, 30, 30, 40)
NAMES = ("cat", "dog")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def labelled(root, photo, label=None, line=LINE):
    draw(root / photo, BOX)
    if label:
        write(root / label, line.format(sum(map(ord, photo)) % 2))


def describe(root, **content):
    write(root / "data.yaml", yaml.safe_dump({"names": list(NAMES), **content}))


@pytest.fixture
def photos(tmp_path):
    """Twelve photos in images/, their files in labels/, and a data.yaml."""
    for number in range(12):
        labelled(tmp_path / "photos", f"images/{number:02}.png", f"labels/{number:02}.txt")
    describe(tmp_path / "photos")
    return tmp_path / "photos"


LAYOUTS = {
    "images and labels": ("images/{1}.png", "labels/{1}.txt"),
    "splits below": ("images/{0}/{1}.png", "labels/{0}/{1}.txt"),
    "splits above": ("{0}/images/{1}.png", "{0}/labels/{1}.txt"),
    "deeper": ("images/{0}/day1/{1}.png", "labels/{0}/day1/{1}.txt"),
    "beside": ("{0}/{1}.png", "{0}/{1}.txt"),
    "wrapped": ("set/{0}/images/{1}.png", "set/{0}/labels/{1}.txt"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_found_without_being_named(tmp_path, layout):
    photo, label = LAYOUTS[layout]
    for split, count in (("train", 8), ("valid", 4), ("test", 3)):
        for number in range(count):
            labelled(
                tmp_path / "photos", photo.format(split, f"{split}{number}"), label.format(split, f"{split}{number}")
            )
    describe(tmp_path / "photos")
    write(tmp_path / "photos" / "README.roboflow.txt", "Exported")
    found = prepared(tmp_path / "photos", tmp_path / "out")
    assert found.preparation.labels_from == "yolo" and found.classes == NAMES and not found.warnings
    assert_boxes_surround_their_blocks(tmp_path / "out")
    if layout != "images and labels":
        assert {split: sum(counts.values()) for split, counts in found.counts.items()} == {
            "train": 8,
            "validation": 4,
            "holdout": 3,
        }


def test_task_follows_from_the_boxes(photos, tmp_path):
    found = prepared(photos, tmp_path / "out", task=None)
    assert (found.task, found.classes, found.preparation.labels_from) == ("classification", NAMES, "yolo")
    write(photos / "labels" / "00.txt", "\n".join(LINE.format(number) for number in (0, 1)))
    assert prepared(photos, tmp_path / "out2", task=None).task == "detection"


def test_polygons_and_poses_are_read_by_their_box(photos, tmp_path):
    write(photos / "labels/00.txt", "1 0.2083333 0.3125 0.5208333 0.3125 0.5208333 0.7291667 0.2083333 0.7291667")
    prepared(photos, tmp_path / "out")
    assert boxes_in(tmp_path / "out")["images/00.png"] == [("dog", *READ)]
    describe(photos, kpt_shape=[2, 2])
    write(photos / "labels/00.txt", LINE.format(1) + " 0.4 0.5 0 0")
    prepared(photos, tmp_path / "out2")
    assert boxes_in(tmp_path / "out2")["images/00.png"] == [("dog", *READ)]


def test_polygons_that_can_be_poses_are_refused_without_a_data_yaml(photos, tmp_path):
    (photos / "data.yaml").unlink()
    write(photos / "classes.txt", "cat\ndog\n")
    for path in (photos / "labels").iterdir():
        write(path, LINE.format(1) + " 0.4 0.5")
    with pytest.raises(
        BlockError, match=r"lines of 7 numbers, such as line 1 of labels/.* can be polygons or boxes with"
    ):
        prepared(photos, tmp_path / "out")


def test_empty_and_missing_files_are_background(photos, tmp_path):
    write(photos / "labels/00.txt", " \n")
    (photos / "labels/01.txt").unlink()
    (warning,) = prepared(photos, tmp_path / "out").warnings
    assert "1 of 12 photos" in warning and "used as background: images/01.png." in warning
    boxes = boxes_in(tmp_path / "out")
    assert boxes["images/00.png"] == boxes["images/01.png"] == []


def test_line_that_is_not_understood_leaves_its_photo_out_by_name(photos, tmp_path):
    write(photos / "labels/03.txt", f"{LINE.format(0)}\n0 0.5 0.5 0.2\n")
    skipped = prepared(photos, tmp_path / "out").preparation.skipped
    assert list(skipped) == ["images/03.png"]
    assert skipped["images/03.png"].startswith("labels/03.txt, line 2: it has 4 numbers.")
    write(photos / "labels/04.txt", "0 30 40 20 10")
    with pytest.raises(
        BlockError, match=r"The labels of 2 of 12 photos .*labels/04\.txt, line 1: 30 does not lie between"
    ):
        prepared(photos, tmp_path / "out2")


def test_class_number_without_a_name_is_refused_by_file_and_line(photos, tmp_path):
    write(photos / "labels/03.txt", f"{LINE.format(0)}\n{LINE.format(2)}\n")
    for task in (None, "detection"):
        with pytest.raises(BlockError, match=r"labels/03\.txt, line 2: class 2 has no name in data\.yaml.* 0 to 1"):
            prepared(photos, tmp_path / "out", task=task)


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ("[cat, dog]", ("cat", "dog")),
        ("{0: cat, 1: dog}", ("cat", "dog")),
        ("\n  1: cat\n  0: dog\n  7: cow", ("cat", "dog")),
        ("[no, 01]", ("01", "no")),
        ("\n- cat # comment\n- 'dog: big'", ("cat", "dog: big")),
    ],
)
def test_names_are_a_list_or_a_mapping(photos, tmp_path, names, classes):
    (photos / "data.yaml").write_text(f"train: images\nnames: {names}\n")
    found = prepared(photos, tmp_path / "out")
    assert found.classes == classes
    assert [text.split(" in ")[0] for text in found.warnings] == (["1 classes"] if "cow" in names else [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("names: [cat", "data.yaml cannot be read as YAML"),
        ("names:", "data.yaml has no class names"),
        ("names: [cat, [dog]]", r"names class 1 \['dog'\]"),
        ("names: {cat: 0}", "names class cat"),
        ("names: {0: cat, 0: dog}", "'0' occurs twice"),
        ("names: {0: cat, 00: dog}", "a number of its own"),
        ("names: &all [*all]", "cannot be read as YAML"),
        ("names: [a, b]\nkpt_shape: 17", "kpt_shape '17'"),
        ("names: [a, b]\ntrain: {a: b}", "gives train"),
    ],
)
def test_data_yaml_that_is_not_understood_is_refused(photos, tmp_path, text, reason):
    (photos / "data.yaml").write_text(text)
    with pytest.raises(BlockError, match=reason):
        prepared(photos, tmp_path / "out")


def test_data_yaml_with_wrong_counts_gives_warnings(photos, tmp_path):
    describe(photos, nc=3, names=["cat", "dog", "cat"])
    (warning,) = prepared(photos, tmp_path / "out").warnings
    assert warning == "data.yaml gives several numbers the name cat. They are one class."
    describe(photos, nc=3)
    (warning,) = prepared(photos, tmp_path / "out2").warnings
    assert warning == "data.yaml says that there are 3 classes (nc), but names 2. The names are used."


def test_two_descriptions_of_different_classes_are_refused(photos, tmp_path):
    write(photos / "old/data.yaml", "names: [dog, cat]")
    with pytest.raises(BlockError, match=r"data\.yaml and old/data\.yaml name different classes"):
        prepared(photos, tmp_path / "out")


def test_classes_come_from_a_list_or_are_named_by_number(photos, tmp_path):
    (photos / "data.yaml").unlink()
    found = prepared(photos, tmp_path / "out")
    (warning,) = found.warnings
    assert found.classes == ("0", "1") and "Their numbers are their names: 0, 1." in warning
    write(photos / "labels/classes.txt", "cat\ndog\n")
    found = prepared(photos, tmp_path / "out2")
    assert found.classes == NAMES and not found.warnings


PLACES = {
    "folders": {"train": "images/a", "val": "images/b", "test": "images/c"},
    "a list of folders": {"train": ["images/a"], "val": ["images/b"], "test": ["images/c"]},
    "below a path": {"path": "images", "train": "a", "val": "b", "test": "c"},
    "a path of another machine": {
        "path": "../datasets/fruit",
        "train": "images/a",
        "val": "images/b",
        "test": "images/c",
    },
    "folders of another machine": {"train": "/content/set/images/a", "val": r"C:\set\images\b", "test": "../images/c"},
    "lists": {"train": "a.txt", "val": "b.txt", "test": "c.txt"},
}


@pytest.fixture
def parts(tmp_path):
    """Photos in images/a, images/b and images/c, and a list of each."""
    root = tmp_path / "photos"
    for part, count, start in (("a", 8, "./"), ("b", 4, ""), ("c", 3, "/content/set/")):
        names = [f"images/{part}/{part}{number}.png" for number in range(count)]
        for name in names:
            labelled(root, name, name.replace("images", "labels").replace(".png", ".txt"))
        write(root / f"{part}.txt", "\n".join(start + name for name in names))
    return root


@pytest.mark.parametrize("places", PLACES)
def test_splits_are_those_of_data_yaml(parts, tmp_path, places):
    describe(parts, **PLACES[places])
    found = prepared(parts, tmp_path / "out")
    assert {split: sum(counts.values()) for split, counts in found.counts.items()} == {
        "train": 8,
        "validation": 4,
        "holdout": 3,
    }
    assert found.preparation.split_from == "given by data.yaml" and not found.warnings


def test_photos_in_two_splits_are_used_for_training_only(photos, tmp_path):
    describe(photos, train="images", val="images")
    found = prepared(photos, tmp_path / "out")
    assert "data.yaml lists 12 photos both for training and for validation" in found.warnings[0]
    assert sum(found.counts["validation"].values()) == 2
    assert found.preparation.split_from.startswith("validation: 20 %")


def test_place_that_does_not_exist_gives_a_warning(parts, tmp_path):
    describe(parts, **{**PLACES["folders"], "test": "/other/test/images"})
    with pytest.raises(
        BlockError, match=r"The split is given by data\.yaml, but 3 of 15 photos .* not in it: images/c"
    ):
        prepared(parts, tmp_path / "out")
    write(parts / "b.txt", (parts / "b.txt").read_text() + "\nimages/b/gone.png\n" + (parts / "c.txt").read_text())
    describe(parts, train="images/a", val="b.txt", test="../test/images")
    warnings = prepared(parts, tmp_path / "out2").warnings
    assert warnings == (
        "1 photos that b.txt lists do not exist: images/b/gone.png.",
        "data.yaml names ../test/images for a split. It does not exist, or has no photos.",
    )


def test_label_files_without_a_photo_and_doubled_boxes_are_named(photos, tmp_path):
    write(photos / "labels/gone.txt", LINE.format(0))
    write(photos / "labels/00.txt", "\n".join([LINE.format(1)] * 3))
    assert prepared(photos, tmp_path / "out").warnings == (
        "1 photos of label files do not exist: labels/gone.txt.",
        "2 boxes repeat another box of their photo, and are left out (1 photos): images/00.png.",
    )
    (photos / "labels/01.txt").rename(photos / "labels/renamed.txt")
    with pytest.raises(
        BlockError, match=r"1 of 12 photos .*images/01\.png.* do not exist \(labels/gone.txt, labels/ren"
    ):
        prepared(photos, tmp_path / "out2")


def test_two_files_that_differ_leave_their_photo_out(photos, tmp_path):
    write(photos / "images/00.txt", LINE.format(0) + "\n" + LINE.format(1))
    write(photos / "images/01.txt", (photos / "labels/01.txt").read_text())
    skipped = prepared(photos, tmp_path / "out").preparation.skipped
    assert skipped == {"images/00.png": "images/00.txt and labels/00.txt both belong to it, and differ. Remove one."}


def test_turned_photo_gives_a_warning_because_shares_do_not_tell_the_frame(photos, tmp_path):
    draw(photos / "images/00.png", BOX, orientation=6, size=(120, 96))
    (warning,) = prepared(photos, tmp_path / "out").warnings
    assert warning.startswith("1 photos are turned by their EXIF orientation") and "images/00.png" in warning


def test_names_of_photos_are_no_classes_beside_boxes(tmp_path):
    for number in range(12):
        name = f"{('apple', 'pear')[number % 2]}_{number}"
        labelled(tmp_path / "photos", f"images/{name}.png", f"labels/{name}.txt" if number else None)
    describe(tmp_path / "photos")
    assert prepared(tmp_path / "photos", tmp_path / "out", task=None).task == "detection"
    found = prepared(tmp_path / "photos", tmp_path / "out2", task=None, labels_from="name")
    assert found.classes == ("apple", "pear")


def test_texts_beside_photos_are_no_labels_without_a_line_of_yolo(tmp_path):
    for number in range(12):
        labelled(tmp_path / "photos", f"{number}.png", f"{number}.txt", "a photo of a cat")
    with pytest.raises(BlockError, match=r"No boxes were found.* YOLO"):
        prepared(tmp_path / "photos", tmp_path / "out")


def test_files_that_lie_elsewhere_are_named_with_the_right_place(photos, tmp_path):
    (photos / "labels").rename(photos / "image_labels")
    with pytest.raises(
        BlockError, match=r"has 12 YOLO files, such as image_labels/00\.txt.* in a folder labels in or above"
    ):
        prepared(photos, tmp_path / "out")


@pytest.mark.parametrize("task", [None, "classification", "detection"])
def test_labels_beside_the_named_folder_are_advised(photos, tmp_path, task):
    with pytest.raises(BlockError, match=rf"The folder labels lies beside .*/images.* name {photos} instead"):
        prepared(photos / "images", tmp_path / "out", task=task)
