"""A refusal names what lies beside the photos, and advises what fits it."""

import json
import os

import pytest
from drawn_photos import draw, draw_all, run

from block.data import reading
from block.errors import BlockError
from block.report import summary
from block.report.data_checks import count_warnings

ADVICE = "make one folder for each class"
NUMBERED = [f"{n}.jpg" for n in range(8)]


def document(root, name, content):
    draw_all(root, *NUMBERED)
    (root / name).write_text(content if isinstance(content, str) else json.dumps(content))


FORMATS = {
    "CreateML": (
        "x.json",
        [{"image": "1.jpg", "annotations": [{"label": "a", "coordinates": {"x": 1, "y": 1, "width": 1, "height": 1}}]}],
    ),
    "labelme": ("1.json", {"shapes": [], "imagePath": "1.jpg"}),
    "Label Studio": ("x.json", [{"data": {"image": "1.jpg"}, "annotations": [{"result": []}]}]),
    "VGG Image Annotator": ("via.json", {"1.jpg": {"filename": "1.jpg", "regions": []}}),
    "CVAT": ("annotations.xml", "<annotations><version>1.1</version><image id='0' name='1.jpg'></image></annotations>"),
    "CSV": ("labels.csv", "image,class\n1.jpg,cat\n2.jpg,dog\n"),
    "TFRecord": ("a.tfrecord", ""),
}


@pytest.mark.parametrize("task", [None, "classification", "detection"])
@pytest.mark.parametrize("name", FORMATS)
def test_labels_in_another_format_are_named(tmp_path, name, task):
    file, content = FORMATS[name]
    document(tmp_path / "photos", file, content)
    with pytest.raises(
        BlockError, match=rf"Labels in another format .*: {name} \({file}\)\. This block does not"
    ) as refused:
        run(tmp_path / "photos", task=task)
    assert "The simplest remedy" not in str(refused.value)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("notes.txt", "0 0.5 0.5 0.3 0.3"),
        ("1.txt", "a photo of a cat"),
        ("1.txt", ""),
        ("settings.json", {"images": 3}),
        ("settings.yaml", "size: 3"),
        ("1.xml", "<annotation/>"),
        ("prices.csv", "fruit,price\napple,3\n"),
    ],
)
def test_other_documents_are_not_taken_for_labels(tmp_path, file, content):
    document(tmp_path / "photos", file, content)
    with pytest.raises(BlockError, match=ADVICE) as refused:
        run(tmp_path / "photos")
    assert "another format" not in str(refused.value)


def test_names_are_not_taken_for_classes_beside_labels_in_another_format(tmp_path):
    for split, count in (("train", 6), ("valid", 3)):
        for number in range(count):
            draw(tmp_path / "photos" / split / f"{('cat', 'dog')[number % 2]}_{number}.jpg")
        (tmp_path / "photos" / split / "labels.json").write_text(json.dumps(FORMATS["CreateML"][1]))
    with pytest.raises(
        BlockError, match=r"may begin with classes \(cat, dog\), .*--labels-from name.*CreateML \(2 files"
    ):
        run(tmp_path / "photos")
    prepared = run(tmp_path / "photos", labels_from="name")
    assert prepared.classes == ("cat", "dog")
    assert prepared.preparation.split_from == "given by the folders train/, valid/"
    assert [warning.split(":")[0] for warning in prepared.warnings] == [
        "Labels in another format lie beside the photos"
    ]


def test_class_folders_beside_labels_in_another_format_give_a_warning(tmp_path):
    photos = draw_all(tmp_path / "photos", *(f"{label}/{label}_{n}.jpg" for label in ("cat", "dog") for n in range(5)))
    (photos / "boxes.json").write_text(json.dumps(FORMATS["CreateML"][1]))
    assert "CreateML (boxes.json)" in run(photos).warnings[0]


def test_long_file_is_recognized_by_its_end(tmp_path):
    document(tmp_path / "photos", "1.json", {"imageData": "A" * 300_000, "shapes": [], "imagePath": "1.jpg"})
    with pytest.raises(BlockError, match="labelme"):
        run(tmp_path / "photos")


def test_boxes_that_detection_would_use_are_named(tmp_path):
    photos = draw_all(tmp_path / "photos", *NUMBERED)
    for number in range(8):
        objects = "".join(
            f"<object><name>{name}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>7</ymax></bndbox></object>"
            for name in ("cat", "dog")
        )
        (photos / f"{number}.xml").write_text(f"<annotation>{objects}</annotation>")
    with pytest.raises(BlockError, match=r"These photos have boxes.* use --task detection") as refused:
        run(photos, task="classification")
    assert "The simplest remedy" not in str(refused.value)


def test_refusal_leaves_out_label_files_that_are_not_there(tmp_path):
    names = [f"{person}/{sign}/{n}.png" for person in ("alice", "bob") for sign in ("rock", "paper") for n in range(3)]
    with pytest.raises(BlockError, match="Which are the classes") as refusal:
        run(draw_all(tmp_path / "photos", *names))
    assert "xml" not in str(refusal.value) and "info.labels" not in str(refusal.value)


def test_single_camera_name_is_not_called_a_class(tmp_path):
    photos = draw_all(tmp_path / "photos", *(f"IMG_{n}.png" for n in range(9)))
    with pytest.raises(BlockError, match=r"do not seem to begin with classes\. Doubtful: IMG"):
        run(photos)


def test_photos_without_anything_are_advised_to_use_class_folders(tmp_path):
    with pytest.raises(BlockError, match=ADVICE):
        run(draw_all(tmp_path / "photos", *NUMBERED))


# --- classes that are written in several ways --------------------------------------------------------------


def test_classes_that_differ_only_in_writing_give_a_warning(tmp_path, capsys):
    labels = ("Red Apple", "red_apple", "red-apple", "leaf")
    run(draw_all(tmp_path / "photos", *(f"{label}/{n}.png" for label in labels for n in range(5))))
    summary.describe_data(reading.read(tmp_path / "out"))
    named = "The classes Red Apple (5) and red-apple (5) and red_apple (5) differ only by capitals"
    assert f"Warning: {named}" in capsys.readouterr().out


def test_report_names_classes_that_differ_only_in_writing():
    counts = {split: {"Apple": 50, "apple": 40, "pear": 60} for split in ("train", "validation", "holdout")}
    assert count_warnings(counts, "photo") == [
        "The classes Apple (150) and apple (120) differ only by capitals, blanks, _ or -. If they are one class, give "
        "them one name."
    ]


@pytest.mark.parametrize("name", ["labels.xml", "1.xml", "1.txt", "coco.json", "data.yaml", "notes.csv"])
def test_pipe_among_photos_is_never_read(tmp_path, name):
    draw_all(tmp_path / "photos/cat", *NUMBERED)
    draw_all(tmp_path / "photos/dog", *NUMBERED)
    os.mkfifo(tmp_path / "photos/cat" / name)
    prepared = run(tmp_path / "photos", task="classification")
    assert prepared.classes == ("cat", "dog")
