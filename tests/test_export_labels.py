"""Labels and boxes of an Edge Impulse export."""

import json

import pytest
from boxed_photos import SIDE, boxes_in, draw, export_box, prepared, write_export

from block.data import reading
from block.errors import BlockError

DOG, BALL = (10, 20, 30, 40), (50, 20, 70, 40)
DOG_BOX, BALL_BOX = ("dog", 10, 20, 20, 20), ("ball", 50, 20, 20, 20)


@pytest.fixture
def photos(tmp_path):
    return tmp_path / "photos"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def entry(photos, path, label=None, boxes=(), name=None, **fields):
    draw(photos / path, DOG)
    fields |= {"label": {"type": "label", "label": label} if label else {"type": "unlabeled"}}
    if name:
        fields["name"] = name
    return {"path": path, "category": "training", "boundingBoxes": [export_box(*box) for box in boxes], **fields}


BOTH = [("dog", DOG), ("ball", BALL)]
# the name before the upload, for the n-th photo
STEMS = {
    "camera": lambda n: f"WIN_20250430_21_{n:02}_Pro",
    "repeated": lambda n: ("yard", "road")[n % 2],
    "numbered": lambda n: f"yard ({n})",
    "with a dot": lambda n: f"{('yard', 'road')[n % 2]}.{n}",
}


@pytest.mark.parametrize("task", [None, "detection"])
@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("suffix", [".jpg.5q0t{:03}.ingestion-0-a.jpg", ".5q0t{:03}.png", ".JPEG.ab{:03}.jpeg"])
def test_boxes_go_before_labels_that_repeat_the_file_name(photos, out, stem, suffix, task):
    names = [STEMS[stem](number) for number in range(12)]
    entries = [
        entry(photos, name + suffix.format(number), name.split(".")[0], BOTH, name) for number, name in enumerate(names)
    ]
    write_export(photos / "info.labels", entries)
    result = prepared(photos, out, task=task)
    assert (result.task, result.classes, result.warnings) == ("detection", ("ball", "dog"), ())
    assert all(sorted(boxes) == [BALL_BOX, DOG_BOX] for boxes in boxes_in(out).values())


def test_label_that_repeats_the_name_leaves_a_photo_without_boxes_background(photos, out):
    entries = [
        entry(photos, f"{stem}.jpg.{number}.jpg", stem, BOTH if number % 4 else (), stem)
        for number, stem in enumerate(["yard", "road"] * 6)
    ]
    write_export(photos / "info.labels", entries)
    result = prepared(photos, out, task=None)
    assert (result.task, result.warnings) == ("detection", ())
    assert sorted(name for name, boxes in boxes_in(out).items() if not boxes) == [
        "yard.jpg.0.jpg",
        "yard.jpg.4.jpg",
        "yard.jpg.8.jpg",
    ]


def test_photos_with_a_label_but_no_boxes_are_named(photos, out):
    entries = [entry(photos, f"{n}.png", "dog" if n == 3 else None, () if n == 3 else BOTH) for n in range(12)]
    write_export(photos / "info.labels", entries)
    assert prepared(photos, out, task=None).warnings == (
        "1 photos have a label but no boxes. They are used as background: 3.png (dog).",
    )


def test_labels_of_a_classification_project_are_classes_even_if_names_begin_with_them(photos, out):
    entries = [entry(photos, f"{label}.{n}.png", label, (), label) for n, label in enumerate(["apple", "kiwi"] * 3)]
    write_export(photos / "info.labels", entries)
    result = prepared(photos, out, task=None)
    assert (result.task, result.classes) == ("classification", ("apple", "kiwi"))


def test_labels_that_only_repeat_different_names_are_none(photos, out):
    entries = [entry(photos, f"WIN_{n}_Pro.jpg.a{n}.jpg", f"WIN_{n}_Pro", (), f"WIN_{n}_Pro") for n in range(8)]
    write_export(photos / "info.labels", entries)
    with pytest.raises(BlockError, match=r"8 of 8 photos have no label in info\.labels .* more than repeat the file's"):
        prepared(photos, out, task=None)


def test_file_names_are_classes_beside_boxes_on_request(photos, out):
    entries = [entry(photos, f"{stem}.jpg.{n}.jpg", stem, BOTH, stem) for n, stem in enumerate(["yard", "road"] * 6)]
    write_export(photos / "info.labels", entries)
    assert prepared(photos, out, task=None, labels_from="name").classes == ("road", "yard")


def test_class_folders_that_contradict_the_boxes_are_asked_about(photos, out):
    entries = [entry(photos, f"{('in', 'out')[n % 2]}/{n}.png", None, [BOTH[n % 2]]) for n in range(8)]
    write_export(photos / "info.labels", entries)
    with pytest.raises(BlockError, match=r"--labels-from folder \(in, out\); --labels-from export \(ball, dog\)"):
        prepared(photos, out, task=None)


# --- entries and photos ------------------------------------------------------------------------------------


def test_two_files_may_not_give_a_photo_different_boxes(photos, out):
    entries = [entry(photos, f"{n}.png", None, BOTH) for n in range(12)]
    write_export(photos / "info.labels", entries)
    boxes = {f"{n}.png": [export_box(*box) for box in BOTH] for n in range(12)}
    labels = photos / "bounding_boxes.labels"
    labels.write_text(json.dumps({"version": 1, "type": "bounding-box-labels", "boundingBoxes": boxes}))
    assert prepared(photos, out).preparation.skipped == {}
    boxes["5.png"] = boxes["5.png"][:1]
    labels.write_text(json.dumps({"version": 1, "type": "bounding-box-labels", "boundingBoxes": boxes}))
    assert prepared(photos, out).preparation.skipped == {
        "5.png": "info.labels and bounding_boxes.labels give it two different values of 'boundingBoxes'. Remove one."
    }


def test_two_entries_of_one_photo_must_agree(photos, out):
    entries = [entry(photos, f"{n}.png", None, BOTH) for n in range(12)]
    write_export(photos / "info.labels", [*entries, entry(photos, "5.png", None, BOTH[:1])])
    assert list(prepared(photos, out).preparation.skipped) == ["5.png"]
    text = json.dumps({f"{n}.png": [export_box(*BOTH[0])] for n in range(12)})
    twice = text[:-1] + ', "5.png": [{"label": "cat", "x": 1, "y": 2, "width": 3, "height": 4}]}'
    (photos / "info.labels").unlink()
    (photos / "bounding_boxes.labels").write_text(f'{{"version": 1, "boundingBoxes": {twice}}}')
    with pytest.raises(BlockError, match=r"bounding_boxes\.labels cannot be read as JSON: '5\.png' occurs twice"):
        prepared(photos, out)


def test_names_that_differ_only_in_case_are_told_apart(photos, out):
    entries = [entry(photos, f"{n}.png", None, BOTH) for n in range(4)]
    entries += [entry(photos, "a.png", None, BOTH[:1]), entry(photos, "A.png", None, BOTH[1:])]
    write_export(photos / "info.labels", entries)
    prepared(photos, out)
    assert (boxes_in(out)["a.png"], boxes_in(out)["A.png"]) == ([DOG_BOX], [BALL_BOX])


def test_paths_of_another_system_are_read(photos, out):
    entries = [entry(photos, f"training/{n}.png", None, BOTH) for n in range(4)]
    for one in entries:
        one["path"] = one["path"].replace("/", "\\").upper()
    write_export(photos / "info.labels", entries)
    prepared(photos, out)
    assert sorted(boxes_in(out)["training/2.png"]) == [BALL_BOX, DOG_BOX]


def test_an_unreadable_photo_does_not_seem_renamed(photos, out):
    entries = [entry(photos, f"{n:02}.png", None, BOTH) for n in range(12)]
    for one in entries:
        del one["category"]
    write_export(photos / "info.labels", entries[:11])
    (photos / "05.png").write_bytes(b"broken")
    result = prepared(photos, out)
    assert list(result.preparation.skipped) == ["05.png"]
    (warning,) = result.warnings
    assert warning.endswith("are in no label file. They are used as background: 11.png.")


# --- content that is not understood ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"boundingBoxes": [{"label": "dog", "x": 10, "y": 20, "width": 20}]},
        {"boundingBoxes": [{"label": "", "x": 10, "y": 20, "width": 20, "height": 20}]},
        {"boundingBoxes": [{"label": "dog", "x": "left", "y": 20, "width": 20, "height": 20}]},
        {"boundingBoxes": [export_box("dog", DOG), 5]},
        {"boundingBoxes": 5},
        {"boundingBoxes": {"boxes": [export_box("dog", DOG)]}},
        {"boxes": [export_box("dog", DOG)]},
        {"annotations": {"dog": [[10, 20, 20, 20]]}},
        {"label": {"type": "multi-label", "labels": [{"label": "dog", "startIndex": 0, "endIndex": 1}]}},
    ],
)
def test_entry_that_is_not_understood_is_never_background(photos, out, fields):
    entries = [entry(photos, f"{n:02}.png", None, BOTH) for n in range(12)]
    entries[5] = {"path": "05.png", "category": "training", "label": {"type": "unlabeled"}, **fields}
    write_export(photos / "info.labels", entries)
    skipped = prepared(photos, out).preparation.skipped
    assert list(skipped) == ["05.png"] and "info.labels" in skipped["05.png"]
    entries[6] = entries[5] | {"path": "06.png"}
    write_export(photos / "info.labels", entries)
    with pytest.raises(
        BlockError, match=r"The labels of 2 of 12 photos .*05\.png: info\.labels .*06\.png: info\.labels"
    ):
        prepared(photos, out)


@pytest.mark.parametrize(
    "fields",
    [
        {"bounding_boxes": [export_box("dog", DOG)]},
        {"BoundingBoxes": [{"Label": "dog", "X": 10, "Y": 20, "Width": 20, "Height": 20}]},
        {"boundingBoxes": export_box("dog", DOG)},
        {"boundingBoxes": [{"label": " dog ", "x": "10", "y": "20", "width": "20", "height": "20.0"}]},
    ],
)
def test_other_spellings_are_read_where_they_are_sure(photos, out, fields):
    entries = [entry(photos, f"{n:02}.png", None, BOTH) for n in range(4)]
    write_export(photos / "info.labels", [*entries[:3], {"path": "03.png", "category": "training", **fields}])
    prepared(photos, out)
    assert boxes_in(out)["03.png"] == [DOG_BOX]


@pytest.mark.parametrize(
    "fields", [{}, {"boundingBoxes": []}, {"boundingBoxes": None}, {"metadata": {"a": [{"b": 1}]}}]
)
def test_entry_without_content_is_background(photos, out, fields):
    entries = [entry(photos, f"{n:02}.png", None, BOTH) for n in range(4)]
    write_export(photos / "info.labels", [*entries[:3], {"path": "03.png", "category": "training", **fields}])
    assert prepared(photos, out).preparation.skipped == {}
    assert boxes_in(out)["03.png"] == []


def test_label_as_plain_text_is_read(photos, out):
    entries = [{"path": f"{n}.png", "label": ("dog", "ball")[n % 2]} for n in range(6)]
    for one in entries:
        draw(photos / one["path"], DOG)
    write_export(photos / "info.labels", entries)
    assert prepared(photos, out, task=None).classes == ("ball", "dog")
    assert reading.read(out).splits["train"].features.shape[1:] == (SIDE, SIDE, 3)
