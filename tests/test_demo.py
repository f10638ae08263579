from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from block.demo import dataset, scene
from block.demo.scene import SUPERSAMPLING
from block.errors import BlockError


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    directory = tmp_path_factory.mktemp("demo")
    dataset.write_demo(directory, photos_per_kind=8, test_photos_per_kind=4)
    return directory


def bytes_by_name(directory):
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def draw(kind, number, size_px=dataset.SIZE_PX):
    return dataset.draw_scene(kind, dataset.photo_generator(1, "train", kind, number), size_px)


def composed(kind, number, side=240):
    return scene.compose(kind, dataset.photo_generator(1, "train", kind, number), side)[1]


def test_every_kind_has_photos_in_both_splits(photos):
    for split, count in (("train", 8), ("test", 4)):
        stems = {f"{kind}_{number}" for kind in dataset.KINDS for number in range(1, count + 1)}
        names = {path.name for path in (photos / split).iterdir()}
        assert names == {f"{stem}.jpg" for stem in stems} | {f"{stem}.xml" for stem in stems}


def test_smaller_set_has_the_same_photos(photos, tmp_path):
    dataset.write_demo(tmp_path, photos_per_kind=2, test_photos_per_kind=1)
    everything = bytes_by_name(photos)
    assert all(everything[name] == content for name, content in bytes_by_name(tmp_path).items())


def test_writing_again_changes_nothing(tmp_path):
    dataset.write_demo(tmp_path, 1, 1, size_px=48)
    first = bytes_by_name(tmp_path)
    dataset.write_demo(tmp_path, 1, 1, size_px=48)
    assert bytes_by_name(tmp_path) == first


def test_seed_and_split_change_the_photo():
    names = [(1, "train"), (2, "train"), (1, "test")]
    generators = [dataset.photo_generator(seed, split, "apple", 1) for seed, split in names]
    assert len({dataset.draw_scene("apple", generator, 48).photo.tobytes() for generator in generators}) == 3


def test_annotations_agree_with_photos(photos):
    for path in sorted(photos.rglob("*.xml")):
        root = ElementTree.parse(path).getroot()
        with Image.open(path.with_suffix(".jpg")) as photo:
            assert photo.mode == "RGB"
            assert photo.size == (int(root.findtext("size/width")), int(root.findtext("size/height")))
        assert root.findtext("filename") == path.with_suffix(".jpg").name
        assert {name.text for name in root.iter("name")} == {path.stem.split("_")[0]}
        assert 1 <= len(root.findall("object")) <= scene.MAX_FRUITS


def test_annotations_hold_no_machine_paths(photos):
    assert not any(str(photos).encode() in content for content in bytes_by_name(photos).values())


@pytest.mark.parametrize("kind", dataset.KINDS)
def test_boxes_are_inside_the_photo_and_large_enough(kind):
    for number in range(1, 6):
        drawn = draw(kind, number)
        assert drawn.photo.size == (dataset.SIZE_PX, dataset.SIZE_PX)
        for box in drawn.boxes:
            assert 0 <= box.xmin < box.xmax <= dataset.SIZE_PX
            assert 0 <= box.ymin < box.ymax <= dataset.SIZE_PX
            assert max(box.xmax - box.xmin, box.ymax - box.ymin) >= 0.14 * dataset.SIZE_PX


def test_photos_have_the_requested_size():
    drawn = draw("orange", 1, size_px=97)
    assert drawn.photo.size == (97, 97)
    assert max(max(box) for box in drawn.boxes) <= 97


@pytest.mark.parametrize("kind", dataset.KINDS)
def test_every_fruit_is_mostly_visible(kind):
    for number in range(1, 6):
        assert min(scene.visible_shares(composed(kind, number), 240)) >= 0.6


@pytest.mark.parametrize("kind", dataset.KINDS)
def test_boxes_are_tight_around_the_fruits(kind):
    for number in range(1, 4):
        for item in composed(kind, number):
            if item.is_fruit:
                full = np.zeros((720, 720), bool)
                full[240 + item.y :, 240 + item.x :][: item.mask.shape[0], : item.mask.shape[1]] = item.mask
                rows, columns = np.nonzero(full[240:480, 240:480])
                edges = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / SUPERSAMPLING
                np.testing.assert_allclose(scene.tight_box(item, 240), edges, atol=1)


def test_pixels_in_a_box_differ_without_the_fruit(monkeypatch):
    with_fruit = draw("orange", 3)
    paint = scene.paint
    monkeypatch.setattr(scene, "paint", lambda canvas, item, light: item.is_fruit or paint(canvas, item, light))
    without = draw("orange", 3)
    difference = np.abs(np.asarray(with_fruit.photo, float) - np.asarray(without.photo, float)).mean(-1)
    for xmin, ymin, xmax, ymax in with_fruit.boxes:
        assert difference[ymin:ymax, xmin:xmax].mean() > 3 * np.median(difference)


def test_mean_colour_alone_does_not_classify_the_photos(photos):
    def colours(split):
        return [
            [mean_colour(path) for path in sorted((photos / split).glob(f"{kind}_*.jpg"))] for kind in dataset.KINDS
        ]

    centres = np.array([np.mean(colour, axis=0) for colour in colours("train")])
    guesses = [[np.linalg.norm(centres - c, axis=1).argmin() for c in kind] for kind in colours("test")]
    right = sum(guess == number for number, kind in enumerate(guesses) for guess in kind)
    assert right / sum(map(len, guesses)) < 0.7


def mean_colour(path):
    with Image.open(path) as photo:
        return np.asarray(photo, float).mean(axis=(0, 1))


def test_progress_counts_every_photo_once(tmp_path):
    seen = []
    dataset.write_demo(tmp_path, 1, 1, size_px=48, track=lambda jobs: (seen.append(job) or job for job in jobs))
    assert len(seen) == len(set(seen)) == 6


def test_folder_with_other_files_is_refused_and_unchanged(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"mine")
    with pytest.raises(BlockError, match=r"holiday\.jpg"):
        dataset.write_demo(tmp_path, 1, 1, size_px=48)
    assert bytes_by_name(tmp_path) == {"holiday.jpg": b"mine"}


def test_other_photo_with_the_same_name_is_not_overwritten(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "apple_1.jpg").write_bytes(b"mine")
    with pytest.raises(BlockError, match="apple_1"):
        dataset.write_demo(tmp_path, 1, 1, size_px=48)


def test_larger_demo_is_not_overwritten_by_a_smaller_one(tmp_path):
    dataset.write_demo(tmp_path, 2, 1, size_px=48)
    with pytest.raises(BlockError, match="apple_2"):
        dataset.write_demo(tmp_path, 1, 1, size_px=48)


def test_interrupted_demo_is_completed(tmp_path):
    dataset.write_demo(tmp_path, 1, 1, size_px=48)
    whole = bytes_by_name(tmp_path)
    Path(tmp_path / "train" / "apple_1.jpg").write_bytes(b"half")
    (tmp_path / "test" / "orange_1.jpg").unlink()
    dataset.write_demo(tmp_path, 1, 1, size_px=48)
    assert bytes_by_name(tmp_path) == whole


def test_file_instead_of_a_folder_is_refused(tmp_path):
    (tmp_path / "demo").touch()
    with pytest.raises(BlockError, match="is a file"):
        dataset.write_demo(tmp_path / "demo", 1, 1)


@pytest.mark.parametrize("counts", [{"photos_per_kind": 0}, {"test_photos_per_kind": -1}, {"size_px": 20}])
def test_too_small_counts_and_sizes_are_refused(tmp_path, counts):
    with pytest.raises(BlockError, match=r"at least"):
        dataset.write_demo(tmp_path, **counts)


def test_unknown_kind_is_refused():
    with pytest.raises(BlockError, match="pear"):
        dataset.draw_scene("pear", np.random.default_rng(1))
