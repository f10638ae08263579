"""COCO sets in the layouts that people have: what is read, and what is refused in which words."""

import json

import pytest
from boxed_photos import assert_boxes_surround_their_blocks, boxes_in, draw, prepared
from label_sets import coco_annotation, write_coco_file

from block.errors import BlockError

BOX = (20, 30, 50, 70)
BBOX = [20, 30, 30, 40]
READ = (20, 30, 30, 40)
POLYGON = [20, 30, 50, 30, 50, 70, 20, 70]
LABELS = "annotations.json"


def draw_photos(root, count=12, place="", size=(96, 96)):
    """Photos with one block each, and their entries in a COCO file."""
    images = [{"id": 5 * n, "file_name": f"{n:02}.png", "width": size[0], "height": size[1]} for n in range(count)]
    for image in images:
        draw(root / place / image["file_name"], BOX)
    return images


def on_each(images, *more):
    """A box on each image, of both classes in turn, and the annotations `more`."""
    return [coco_annotation(each["id"], 7 + 5 * (each["id"] % 2), BBOX) for each in images] + list(more)


def result(root, images, annotations, out, **choices):
    write_coco_file(root / LABELS, images, annotations)
    return prepared(root, out, **choices)


def changed(root, out, **fields):
    """Prepares photos of which the annotation of the first has other fields."""
    images = draw_photos(root)
    first, *rest = on_each(images)
    return result(root, images, [first | fields, *rest], out)


def test_sparse_categories_are_read_and_unused_ones_left_out(tmp_path):
    images = draw_photos(tmp_path / "photos")
    found = result(tmp_path / "photos", images, on_each(images), tmp_path / "out")
    assert (found.task, found.classes, found.preparation.labels_from) == ("detection", ("cat", "dog"), "coco")
    assert found.warnings == ("1 categories in COCO files have no box, and are left out: things.",)
    assert_boxes_surround_their_blocks(tmp_path / "out", most_px=0)
    by_task = prepared(tmp_path / "photos", tmp_path / "out2", task=None)
    assert (by_task.task, by_task.classes) == ("classification", ("cat", "dog"))


LAYOUTS = {
    "Roboflow": ("{split}/{name}", "{split}/_annotations.coco.json", "{name}"),
    "COCO": ("{split}2017/{name}", "annotations/instances_{split}2017.json", "{name}"),
    "one folder": ("images/{split}{name}", "annotations/instances_{split}.json", "{split}{name}"),
    "folders in the path": ("images/{split}/{name}", "{split}.json", "{split}/{name}"),
    "path of another machine": ("{split}/images/{name}", "{split}/labels.json", "/home/me/data/images/{name}"),
    "path of Windows": ("images/{split}/{name}", "{split}.json", r"C:\data\images\{split}\{name}"),
    "folder of labels": ("images/{split}{name}", "{split}/labels.json", "images/{split}{name}"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_of_splits_are_found_without_being_named(tmp_path, layout):
    photo, labels, written = LAYOUTS[layout]
    counts = {"train": 8, "val": 4, "test": 3}
    for split, count in counts.items():
        images = [{"id": n, "width": 96, "height": 96, "file_name": f"{n}.png"} for n in range(count)]
        for image in images:
            name = image["file_name"]
            draw(tmp_path / "photos" / photo.format(split=split, name=name), BOX)
            image["file_name"] = written.format(split=split, name=name)
        write_coco_file(tmp_path / "photos" / labels.format(split=split), images, on_each(images))
    found = prepared(tmp_path / "photos", tmp_path / "out")
    assert [sum(each.values()) for each in found.counts.values()] == list(counts.values())
    assert [text for text in found.warnings if "things" not in text] == []
    assert_boxes_surround_their_blocks(tmp_path / "out", most_px=0)


def test_polygons_give_the_box_where_there_is_no_bbox(tmp_path):
    for number, shape in enumerate(([POLYGON], POLYGON, [POLYGON[:6], POLYGON[2:]])):
        changed(tmp_path / f"photos{number}", tmp_path / f"out{number}", bbox=[], segmentation=shape)
        assert boxes_in(tmp_path / f"out{number}")["00.png"] == [("cat", *READ)]


def test_mask_beside_a_bbox_changes_nothing(tmp_path):
    changed(tmp_path / "photos", tmp_path / "out", segmentation={"counts": "abc", "size": [96, 96]})
    assert boxes_in(tmp_path / "out")["00.png"] == [("cat", *READ)]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"bbox": None, "segmentation": {"counts": [1, 2], "size": [96, 96]}}, "run-length encoding"),
        ({"bbox": [], "segmentation": []}, "neither a bbox nor a polygon"),
        ({"bbox": [], "segmentation": [[1, 2, 3, 4]]}, "neither a bbox nor a polygon"),
        ({"bbox": [1, 2, 3]}, "needs four numbers"),
        ({"bbox": [1, 2, "a", 4]}, "width a"),
        ({"bbox": [50, 30, -30, 40]}, "below 0"),
    ],
)
def test_annotation_without_a_box_leaves_its_photo_out_by_name(tmp_path, fields, reason):
    skipped = changed(tmp_path / "photos", tmp_path / "out", **fields).preparation.skipped
    assert list(skipped) == ["00.png"]
    assert skipped["00.png"].startswith("annotations.json, annotation 0") and reason in skipped["00.png"]


def test_crowds_are_left_out_with_a_count(tmp_path):
    images = draw_photos(tmp_path / "photos")
    crowd = coco_annotation(0, 7, [0, 0, 90, 90], iscrowd=1, segmentation={"counts": [9], "size": [96, 96]})
    found = result(tmp_path / "photos", images, on_each(images, crowd, crowd), tmp_path / "out")
    assert (
        found.warnings[1].startswith("2 annotations of crowds (iscrowd) are left out") and "00.png" in found.warnings[1]
    )
    assert boxes_in(tmp_path / "out")["00.png"] == [("cat", *READ)]


def test_listed_photo_without_annotations_is_background(tmp_path):
    images = draw_photos(tmp_path / "photos")
    found = result(tmp_path / "photos", images, on_each(images[1:]), tmp_path / "out")
    assert boxes_in(tmp_path / "out")["00.png"] == [] and len(found.warnings) == 1


def test_missing_and_unlisted_photos_are_named(tmp_path):
    images = draw_photos(tmp_path / "photos")
    found = result(tmp_path / "photos", images[1:], on_each(images[1:]), tmp_path / "out")
    assert "1 of 12 photos" in found.warnings[1] and "used as background: 00.png" in found.warnings[1]
    gone = {"id": 99, "file_name": "gone.png"}
    found = result(tmp_path / "photos", [*images, gone], on_each(images), tmp_path / "out2")
    assert found.warnings[1] == "1 photos in the label files do not exist: gone.png."
    with pytest.raises(BlockError, match=r"1 of 12 photos .*00\.png.* 1 photos in the label files do not exist"):
        result(tmp_path / "photos", [*images[1:], gone], on_each(images[1:]), tmp_path / "out3")


def test_photo_that_cannot_be_read_is_not_missing(tmp_path):
    images = draw_photos(tmp_path / "photos")
    (tmp_path / "photos/00.png").write_bytes(b"broken")
    found = result(tmp_path / "photos", images, on_each(images), tmp_path / "out")
    assert list(found.preparation.skipped) == ["00.png"] and len(found.warnings) == 1


def test_annotations_of_images_that_are_not_listed_are_counted(tmp_path):
    images = draw_photos(tmp_path / "photos")
    found = result(tmp_path / "photos", images, on_each(images, coco_annotation(98, 7, BBOX)), tmp_path / "out")
    assert found.warnings[1].startswith("1 annotations in annotations.json are left out")


def test_boxes_of_a_photo_of_another_size_are_moved_or_refused(tmp_path):
    images = draw_photos(tmp_path / "photos", size=(192, 192))
    annotations = [each | {"bbox": [40, 60, 60, 80]} for each in on_each(images)]
    images[0] |= {"width": 192, "height": 96}
    skipped = result(tmp_path / "photos", images, annotations, tmp_path / "out").preparation.skipped
    assert list(skipped) == ["00.png"] and "were drawn on a photo of 192 x 96 px" in skipped["00.png"]
    assert_boxes_surround_their_blocks(tmp_path / "out", most_px=0)


def test_size_tells_on_which_frame_of_a_turned_photo_boxes_were_drawn(tmp_path):
    images = draw_photos(tmp_path / "photos")
    draw(tmp_path / "photos/00.png", (10, 20, 40, 80), size=(192, 96), orientation=6)
    annotations = on_each(images)
    images[0] |= {"width": 192, "height": 96}
    annotations[0]["bbox"] = [10, 20, 30, 60]
    found = result(tmp_path / "photos", images, annotations, tmp_path / "out")
    assert len(found.warnings) == 1
    assert_boxes_surround_their_blocks(tmp_path / "out")


def test_files_with_the_same_boxes_are_one_and_others_contradict(tmp_path):
    images = draw_photos(tmp_path / "photos")
    write_coco_file(tmp_path / "photos/persons.json", images, on_each(images)[::2])
    found = result(tmp_path / "photos", images, on_each(images), tmp_path / "out")
    assert not found.preparation.skipped and len(boxes_in(tmp_path / "out")["00.png"]) == 1
    other = [coco_annotation(0, 7, [1, 1, 9, 9])]
    write_coco_file(tmp_path / "photos/persons.json", images[:1], other)
    skipped = prepared(tmp_path / "photos", tmp_path / "out2").preparation.skipped
    assert skipped == {"00.png": "annotations.json and persons.json list different boxes for it. Remove one."}


def test_path_that_fits_two_photos_is_refused(tmp_path):
    images = draw_photos(tmp_path / "photos", place="a")
    draw_photos(tmp_path / "photos", place="b")
    with pytest.raises(BlockError, match=r"annotations\.json lists 00\.png, which can be a/00\.png or b/00\.png"):
        result(tmp_path / "photos", images, on_each(images), tmp_path / "out")


def test_photo_of_another_folder_is_not_taken(tmp_path):
    images = draw_photos(tmp_path / "photos", place="a")
    draw_photos(tmp_path / "photos", place="b", count=6)
    images = [{**each, "file_name": f"{'ab'[n % 2]}/{each['file_name']}"} for n, each in enumerate(images)]
    with pytest.raises(BlockError, match=r"3 photos in the label files do not exist \(b/07\.png"):
        result(tmp_path / "photos", images, on_each(images), tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda content: content["annotations"][3].update(category_id=8), "annotation 3: category 8 is not among"),
        (lambda content: content["categories"].append({"id": 7, "name": "cow"}), "belongs to category cat and to"),
        (lambda content: content["images"][3].update(id=0), "belongs to image 00.png and to image 03.png"),
        (lambda content: content["images"][3].pop("file_name"), "does not follow the COCO format"),
        (lambda content: content["annotations"][3].pop("image_id"), "does not follow the COCO format"),
        (lambda content: content.pop("categories"), r"does not follow the COCO format \(KeyError\('categories'"),
        (lambda content: content["annotations"].append(3), "does not follow the COCO format"),
        (lambda content: content["categories"][1].update(name=""), "category 7 has no name"),
    ],
)
def test_file_that_contradicts_itself_is_refused(tmp_path, change, reason):
    images = draw_photos(tmp_path / "photos")
    write_coco_file(tmp_path / "photos" / LABELS, images, on_each(images))
    content = json.loads((tmp_path / "photos" / LABELS).read_text())
    change(content)
    (tmp_path / "photos" / LABELS).write_text(json.dumps(content))
    with pytest.raises(BlockError, match=reason):
        prepared(tmp_path / "photos", tmp_path / "out")


def test_damaged_file_is_refused(tmp_path):
    images = draw_photos(tmp_path / "photos")
    write_coco_file(tmp_path / "photos" / LABELS, images, on_each(images))
    (tmp_path / "photos" / LABELS).write_text((tmp_path / "photos" / LABELS).read_text()[:-2])
    with pytest.raises(BlockError, match="cannot be read as JSON"):
        prepared(tmp_path / "photos", tmp_path / "out")


def test_other_json_files_are_no_labels(tmp_path):
    images = draw_photos(tmp_path / "photos")
    for name, content in (("captions", {"images": images, "annotations": [{"caption": "a"}]}), ("list", [1])):
        (tmp_path / "photos" / f"{name}.json").write_text(json.dumps(content))
    found = result(tmp_path / "photos", images, on_each(images), tmp_path / "out")
    assert len(found.warnings) == 1
