"""Which photo a label file belongs to."""

import shutil

import pytest
from boxed_photos import BLUE, RED, annotate, assert_boxes_surround_their_blocks, boxes_in, draw, named, prepared

from block.errors import BlockError

LEFT, RIGHT = (6, 6, 36, 36), (60, 60, 90, 90)


@pytest.fixture
def photos(tmp_path):
    return tmp_path / "photos"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def draw_classes(photos, count=6, dogs="dogs", cats="cats"):
    for number in range(count):
        draw(photos / dogs / f"{number}.jpg", LEFT, RED)
        draw(photos / cats / f"{number}.jpg", RIGHT, BLUE)


def test_file_belongs_to_the_photo_in_the_folder_that_it_names(photos, out):
    draw_classes(photos)
    for number in range(6):
        annotate(photos / "Annotations" / f"{number}.xml", ("dog", LEFT), more=named("dogs", f"{number}.jpg"))
        annotate(photos / "cats" / f"{number}.xml", ("cat", RIGHT))
    prepared(photos, out)
    assert boxes_in(out)["dogs/3.jpg"] == [("dog", 6, 6, 30, 30)]
    assert boxes_in(out)["cats/3.jpg"] == [("cat", 60, 60, 30, 30)]


@pytest.mark.parametrize("choices", [{"task": "detection"}, {"task": None, "labels_from": "voc"}])
def test_photos_whose_file_belongs_to_another_are_refused_by_name(photos, out, choices):
    draw_classes(photos)
    for number in range(6):
        annotate(photos / "Annotations" / f"{number}.xml", ("dog", LEFT), more=named("dogs", f"{number}.jpg"))
    with pytest.raises(BlockError, match=r"6 of 12 photos .*cats/0\.jpg: Annotations/0\.xml belongs to dogs/0\.jpg"):
        prepared(photos, out, **choices)


def test_few_photos_whose_file_belongs_to_another_are_left_out_by_name(photos, out):
    draw_classes(photos, count=10)
    for number in range(10):
        annotate(photos / "Annotations" / f"{number}.xml", ("dog", LEFT), more=named("dogs", f"{number}.jpg"))
        if number != 4:
            annotate(photos / "cats" / f"{number}.xml", ("cat", RIGHT))
    skipped = prepared(photos, out).preparation.skipped
    assert skipped == {"cats/4.jpg": "Annotations/4.xml belongs to dogs/4.jpg, by the photo that it names"}
    assert_boxes_surround_their_blocks(out)


def test_two_photos_that_claim_one_file_are_refused_with_both_names(photos, out):
    draw_classes(photos)
    for number in range(6):
        annotate(photos / "Annotations" / f"{number}.xml", ("dog", LEFT))
    with pytest.raises(BlockError, match=r"Annotations/0\.xml could belong to cats/0\.jpg and to dogs/0\.jpg"):
        prepared(photos, out)


@pytest.mark.parametrize("told", ["birds", "", "photos"])
def test_a_folder_that_is_neither_photos_does_not_decide(photos, out, told):
    draw_classes(photos)
    annotate(photos / "Annotations" / "2.xml", ("dog", LEFT), more=named(told, "2.jpg"))
    with pytest.raises(BlockError, match=r"2\.xml could belong to cats/2\.jpg and to dogs/2\.jpg"):
        prepared(photos, out)


@pytest.mark.parametrize("told", [r"C:\data\dogs", "/home/user/Dogs/", "somewhere/dogs"])
def test_the_named_folder_can_be_a_path(photos, out, told):
    draw_classes(photos)
    for number in range(6):
        annotate(photos / "Annotations" / f"{number}.xml", ("dog", LEFT), more=named(told, f"{number}.jpg"))
        annotate(photos / "cats" / f"{number}.xml", ("cat", RIGHT))
    prepared(photos, out)
    assert_boxes_surround_their_blocks(out)


def test_the_path_decides_where_folder_names_are_equal(photos, out):
    draw_classes(photos, dogs="dogs/images", cats="cats/images")
    for number in range(6):
        path = rf"<path>C:\data\dogs\images\{number}.jpg</path>"
        annotate(photos / "Annotations" / f"{number}.xml", ("dog", LEFT), more=named("images", f"{number}.jpg") + path)
        annotate(photos / "cats" / "images" / f"{number}.xml", ("cat", RIGHT))
    prepared(photos, out)
    assert_boxes_surround_their_blocks(out)


def test_photos_with_one_stem_and_two_suffixes_need_a_file_name(photos, out):
    for number in range(12):
        draw(photos / f"{number}.jpg", LEFT)
        annotate(photos / f"{number}.xml", ("dog", LEFT), more=named("", f"{number}.jpg"))
    draw(photos / "3.png", RIGHT)
    assert prepared(photos, out).preparation.skipped == {
        "3.png": "3.xml belongs to 3.jpg, by the photo that it names",
    }
    assert boxes_in(out)["3.jpg"] == [("dog", 6, 6, 30, 30)]
    annotate(photos / "3.xml", ("dog", LEFT))
    with pytest.raises(BlockError, match=r"3\.xml could belong to 3\.jpg and to 3\.png"):
        prepared(photos, out)
    (photos / "3.xml").unlink()
    annotate(photos / "3.png.xml", ("dog", RIGHT))
    annotate(photos / "3.jpg.xml", ("dog", LEFT))
    assert prepared(photos, out).preparation.skipped == {}
    assert_boxes_surround_their_blocks(out)


def test_a_suffix_that_has_changed_since_is_no_contradiction(photos, out):
    for number in range(4):
        draw(photos / f"{number}.png", LEFT)
        annotate(photos / f"{number}.xml", ("dog", LEFT), more=named("old", f"{number}{'.jpg' if number % 2 else ''}"))
    prepared(photos, out)
    assert_boxes_surround_their_blocks(out)


def test_same_names_in_two_splits_are_told_apart(photos, out):
    for split, box in (("train", LEFT), ("test", RIGHT)):
        for number in range(6):
            draw(photos / split / f"{number}.jpg", box)
    for number in range(6):
        annotate(photos / "Annotations" / f"{number}.xml", ("dog", LEFT), more=named("train", f"{number}.jpg"))
    with pytest.raises(BlockError, match=r"test/0\.jpg: Annotations/0\.xml belongs to train/0\.jpg"):
        prepared(photos, out)
    for number in range(6):
        annotate(photos / "test" / f"{number}.xml", ("dog", RIGHT), more=named("train", f"{number}.jpg"))
    prepared(photos, out)
    assert_boxes_surround_their_blocks(out)


def test_photos_moved_to_another_split_keep_their_files(photos, out):
    for number in range(12):
        draw(photos / ("test" if number > 8 else "train") / f"{number}.jpg", LEFT)
        annotate(photos / "Annotations" / f"{number}.xml", ("dog", LEFT), more=named("train", f"{number}.jpg"))
    prepared(photos, out)
    assert len(boxes_in(out)) == 12
    assert_boxes_surround_their_blocks(out)


def test_file_of_a_deleted_photo_is_not_given_to_another_class(photos, out):
    draw_classes(photos, count=10)
    for number in range(10):
        annotate(photos / "dogs" / f"{number}.xml", ("dog", LEFT))
        annotate(photos / "cats" / f"{number}.xml", ("cat", RIGHT))
    draw(photos / "cats" / "99.jpg", RIGHT)
    annotate(photos / "Annotations" / "99.xml", ("dog", LEFT), more=named("dogs", "99.jpg"))
    assert prepared(photos, out).preparation.skipped == {
        "cats/99.jpg": "Annotations/99.xml belongs to dogs/99.jpg, by the photo that it names",
    }


def test_file_of_an_unreadable_photo_is_not_given_to_another_class(photos, out):
    draw_classes(photos, count=12)
    for number in range(12):
        annotate(photos / "Annotations" / f"{number}.xml", ("dog", LEFT), more=named("dogs", f"{number}.jpg"))
        if number:
            annotate(photos / "cats" / f"{number}.xml", ("cat", RIGHT))
    (photos / "dogs" / "0.jpg").write_bytes(b"broken")
    result = prepared(photos, out)
    assert sorted(result.preparation.skipped) == ["cats/0.jpg", "dogs/0.jpg"]
    assert result.warnings == ()


def test_file_that_names_another_photo_is_not_used(photos, out):
    for number in range(12):
        draw(photos / f"{number}.jpg", LEFT)
        annotate(photos / f"{number}.xml", ("dog", LEFT))
    annotate(photos / "3.xml", ("dog", RIGHT), more=named("photos", "4.jpg"))
    assert prepared(photos, out).preparation.skipped == {
        "3.jpg": "3.xml belongs to photos/4.jpg, by the photo that it names",
    }
    assert_boxes_surround_their_blocks(out)


def test_file_with_another_name_belongs_to_the_photo_that_it_names(photos, out):
    draw_classes(photos)
    for number in range(6):
        annotate(photos / "Annotations" / f"a{number}.xml", ("dog", LEFT), more=named("dogs", f"{number}.jpg"))
        annotate(photos / "Annotations" / f"b{number}.xml", ("cat", RIGHT), more=named("cats", f"{number}.jpg"))
    assert len(prepared(photos, out).classes) == 2
    assert_boxes_surround_their_blocks(out)


@pytest.mark.parametrize(
    ("images", "place"),
    [
        ("images/dogs", "Annotations"),
        ("images/dogs", "ANNOTATIONS/dogs"),
        ("images/dogs", "annotations/images/dogs"),
        ("images/dogs", "images/Annotations"),
        ("a/b/c/d", "Annotations"),
    ],
)
def test_annotations_can_lie_above_the_photos(photos, out, images, place):
    for number in range(4):
        draw(photos / images / f"{number}.jpg", LEFT)
        annotate(photos / place / f"{number}.xml", ("dog", LEFT))
    prepared(photos, out)
    assert_boxes_surround_their_blocks(out)


def test_two_files_of_one_photo_must_agree(photos, out):
    for number in range(10):
        draw(photos / f"{number}.jpg", LEFT)
        annotate(photos / f"{number}.xml", ("dog", LEFT))
    shutil.copytree(photos, photos / "Annotations", ignore=shutil.ignore_patterns("*.jpg"))
    assert prepared(photos, out).preparation.skipped == {}
    annotate(photos / "Annotations" / "7.xml", ("dog", RIGHT))
    assert prepared(photos, out).preparation.skipped == {
        "7.jpg": "7.xml and Annotations/7.xml both belong to it, and differ. Remove one.",
    }


def test_files_without_a_photo_are_named(photos, out):
    for number in range(4):
        draw(photos / f"{number}.jpg", LEFT)
        annotate(photos / f"{number}.xml", ("dog", LEFT))
    annotate(photos / "gone.xml", ("dog", LEFT))
    assert prepared(photos, out).warnings == ("1 photos of label files do not exist: gone.xml.",)


def test_names_can_differ_in_case_and_unicode_form(photos, out):
    for number, (photo, file) in enumerate([("A.JPG", "a.xml"), ("\u00e4.jpg", "a\u0308.XML"), ("b.jpg", "B.xml")]):
        draw(photos / photo, LEFT)
        annotate(photos / file, ("dog", LEFT), more=named("", f"{number}.jpg"))
    prepared(photos, out)
    assert_boxes_surround_their_blocks(out)


@pytest.mark.parametrize("place", ["cats", "cats/Annotations"])
def test_files_saved_into_another_folder_are_not_misread(photos, out, place):
    draw_classes(photos)
    for number in range(6):
        annotate(photos / place / f"{number}.xml", ("dog", LEFT), more=named("dogs", f"{number}.jpg"))
    with pytest.raises(BlockError, match=r"6 of 12 photos .*cats/0\.jpg: .*0\.xml belongs to dogs/0\.jpg"):
        prepared(photos, out)
    for number in range(6):
        annotate(photos / "cats" / f"{number}.jpg.xml", ("cat", RIGHT))
    prepared(photos, out)
    assert_boxes_surround_their_blocks(out)


def test_files_copied_with_their_photos_are_used(photos, out):
    draw_classes(photos, dogs="new", cats="old")
    for number in range(6):
        annotate(photos / "new" / f"{number}.xml", ("dog", LEFT), more=named("old", f"{number}.jpg"))
        annotate(photos / "old" / f"{number}.xml", ("dog", RIGHT), more=named("old", f"{number}.jpg"))
    prepared(photos, out)
    assert_boxes_surround_their_blocks(out)


def test_the_named_file_can_have_a_folder(photos, out):
    draw_classes(photos)
    for number in range(6):
        annotate(photos / "Annotations" / f"{number}.xml", ("dog", LEFT), more=named("set", f"dogs/{number}.jpg"))
        annotate(photos / "cats" / f"{number}.xml", ("cat", RIGHT))
    prepared(photos, out)
    assert_boxes_surround_their_blocks(out)


def test_label_file_of_a_photo_that_needs_another_package_is_not_called_lost(photos, out):
    for number in range(6):
        draw(photos / f"{number}.jpg", LEFT, RED)
        annotate(photos / f"{number}.xml", ("dog", LEFT))
    (photos / "iphone.heic").write_bytes(b"not decoded")
    annotate(photos / "iphone.xml", ("dog", LEFT))
    assert not any("do not exist" in warning for warning in prepared(photos, out).warnings)
