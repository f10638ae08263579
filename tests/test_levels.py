"""Which folders above photos are splits and which are classes."""

import pytest
from drawn_photos import draw, draw_all, names_by_split, run

from block.errors import BlockError
from block.photos.levels import levels

CLASSES = ("apple", "leaf", "sea")


def tree(root, *tops, classes=CLASSES, count=4):
    return draw_all(
        root,
        *(f"{top}/{label}/{top.replace('/', '-')}-{n}.png" for top in tops for label in classes for n in range(count)),
    )


def totals(prepared):
    return {split: sum(counts.values()) for split, counts in prepared.counts.items()}


@pytest.mark.parametrize(
    ("train", "other", "split"),
    [
        ("seg_train", "seg_test", "holdout"),
        ("training_set", "test_set", "holdout"),
        ("train_images", "val_images", "validation"),
        ("TrainData", "TestData", "holdout"),
        ("train2017", "val2017", "validation"),
        ("trainset", "validset", "validation"),
        ("fruit-train", "fruit-valid", "validation"),
        ("train", "holdout", "holdout"),
        ("train/images", "val/images", "validation"),
        ("train/train", "test/test", "holdout"),
        ("seg_train/seg_train", "seg_test/seg_test", "holdout"),
    ],
)
def test_folders_that_speak_of_a_split_are_splits(tmp_path, train, other, split):
    prepared = run(tree(tmp_path / "photos", train, other), labels_from="folder")
    assert prepared.classes == CLASSES
    assert prepared.counts[split] == dict.fromkeys(CLASSES, 4)
    assert all(name.startswith(f"{other}/") for name in names_by_split(tmp_path / "photos")[split])


def test_splits_inside_class_folders_are_splits(tmp_path):
    names = [f"{label}/{split}/{n}.png" for label in CLASSES for split in ("train", "test") for n in range(4)]
    prepared = run(draw_all(tmp_path / "photos", *names))
    assert (prepared.classes, totals(prepared)["holdout"]) == (CLASSES, 12)


def test_split_folders_below_one_folder_are_used_for_detection():
    found = levels(["images/train/1.jpg", "images/val/2.jpg"])
    assert found.splits == {"images/train/1.jpg": "train", "images/val/2.jpg": "validation"}


@pytest.mark.parametrize("tops", [("test_tube", "train_station"), ("trainers", "tests_paper"), ("train", "bus")])
def test_classes_whose_names_contain_a_split_are_classes(tmp_path, tops):
    names = [f"{top}/{n}.png" for top in tops for n in range(4)]
    assert run(draw_all(tmp_path / "photos", *names)).classes == tuple(sorted(tops))


@pytest.mark.parametrize("tops", [("monday", "tuesday"), ("original", "augmented"), ("train", "eval")])
def test_folders_above_repeated_class_folders_are_asked_about(tmp_path, tops):
    photos = draw_all(
        tmp_path / "photos", *(f"{top}/{label}/{n}.png" for top in tops for label in CLASSES for n in "123")
    )
    question = (
        rf"The same folders \(apple, leaf, sea\) lie below each of {', '.join(sorted(tops))}\. Which are the classes"
    )
    with pytest.raises(BlockError, match=question) as refused:
        run(photos)
    assert "one folder for each class" not in str(refused.value)
    assert run(photos, labels_from="folder").classes == CLASSES


def test_class_missing_from_one_day_does_not_hide_the_question(tmp_path):
    photos = tree(tmp_path / "photos", "monday", "tuesday")
    for path in (photos / "tuesday" / "sea").iterdir():
        path.unlink()
    (photos / "tuesday" / "sea").rmdir()
    with pytest.raises(BlockError, match="lie below each of monday, tuesday"):
        run(photos)


def test_deepest_repeated_folders_are_the_classes():
    names = [f"{day}/{time}/{label}/1.jpg" for day in "ab" for time in ("am", "pm") for label in CLASSES]
    found = levels(names)
    assert {found.class_path(name) for name in names} == {name.rpartition("/")[0] for name in names}


def test_folders_inside_class_folders_that_differ_are_not_asked_about(tmp_path):
    names = ["apple/garden/1.png", "apple/market/2.png", "pear/garden/3.png", "pear/kitchen/4.png"]
    assert run(draw_all(tmp_path / "photos", *names)).classes == ("apple", "pear")


def test_folders_beside_the_splits_are_refused_by_name(tmp_path):
    photos = tree(tmp_path / "photos", "seg_train", "seg_test", "seg_pred")
    with pytest.raises(BlockError, match=r"folders seg_train/, seg_test/, but 12 of 36 photos .* seg_pred/apple/"):
        run(photos, labels_from="folder")


def test_folders_of_a_split_and_a_class_at_once_are_refused(tmp_path):
    names = [f"{label}_{split}/{n}.png" for label in ("cat", "dog") for split in ("train", "test") for n in range(3)]
    with pytest.raises(BlockError, match=r"cat_test, cat_train, dog_test, .* name a split and a class at once"):
        run(draw_all(tmp_path / "photos", *names))


@pytest.mark.parametrize("tops", [("archive",), ("archive/dataset",), ("images/train", "images/val")])
def test_folder_one_level_too_high_is_named(tmp_path, tops):
    photos = tree(tmp_path / "photos", *tops, count=2)
    inner = "archive/dataset" if "dataset" in tops[0] else tops[0].split("/")[0]
    for number, path in enumerate(sorted(photos.rglob("*.png"))):  # names without classes
        path.rename(path.with_name(f"IMG_{number:04}.png"))
    with pytest.raises(BlockError, match=rf"All photos lie in {inner}/.* Name {photos / inner} instead") as refused:
        run(photos)
    assert "one folder for each class" not in str(refused.value)
    assert run(photos / inner).classes == CLASSES


def test_empty_class_folder_is_refused(tmp_path):
    photos = draw_all(tmp_path / "photos", *(f"{label}/{n}.png" for label in ("apple", "leaf") for n in "123"))
    (photos / "sea").mkdir()
    with pytest.raises(BlockError, match=r"The folder sea/ .* no photo that can be read\. It is empty"):
        run(photos)


def test_split_folder_without_readable_photos_is_refused(tmp_path):
    photos = tree(tmp_path / "photos", "train")
    (photos / "val" / "sea").mkdir(parents=True)
    (photos / "val" / "sea" / "1.mov").touch()
    with pytest.raises(BlockError, match=r"The folder val/ lies beside the folders of the splits.* videos: 1"):
        run(photos, labels_from="folder")


@pytest.mark.parametrize("name", ["notes/readme.txt", "Annotations/1.xml", "labels/1.json"])
def test_folder_of_notes_beside_class_folders_is_no_class(tmp_path, name):
    photos = draw_all(tmp_path / "photos", *(f"{label}/{n}.png" for label in ("apple", "leaf") for n in "123"))
    (photos / name).parent.mkdir()
    (photos / name).write_text("<annotation/>")
    assert run(photos).classes == ("apple", "leaf")


def test_class_folder_with_one_broken_photo_is_refused(tmp_path):
    photos = draw_all(tmp_path / "photos", *(f"{label}/{n}.png" for label in ("apple", "leaf") for n in range(10)))
    draw(photos / "sea" / "1.png").write_bytes(b"broken")
    with pytest.raises(BlockError, match=r"The folder sea/ .* Unreadable: sea/1\.png"):
        run(photos)
