"""Versions of one photo stay in one split, and what their names say about classes."""

import numpy as np
import pytest
from drawn_photos import draw, draw_all, names_by_split, run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from block.data import reading
from block.errors import BlockError
from block.photos.levels import levels
from block.photos.names import class_in_name, is_camera_name, origin
from block.photos.versions import groups, parted
from block.report import data_checks

UUID = "0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d0a1b"


def hashed(number):
    return f"{number:032x}"


def sources_apart(photos, source):
    """The sources that lie in several splits."""
    found = {split: {source(name) for name in names} for split, names in names_by_split(photos).items()}
    return found["train"] & found["validation"]


# --- what a name says --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (f"apple_0_jpg.rf.{hashed(1)}", "apple_0"),
        (f"IMG_2277_jpeg_jpg.rf.{hashed(1)}", "IMG_2277"),
        (f"apple_0_png.rf.{hashed(1)}", "apple_0"),
        (f"apple_0_jpg.rf.{hashed(1)}.jpg.4f1c2", "apple_0"),
        ("apple_12_flip", "apple_12"),
        ("apple_12-rot90", "apple_12"),
        ("apple_12_aug_3", "apple_12"),
        ("apple_12_flip_bright_2", "apple_12"),
        ("IMG_1234_edited", "IMG_1234"),
        ("apple_12 - Copy (2)", "apple_12"),
        ("apple_12 copy", "apple_12"),
        ("apple_12 (1)", "apple_12"),
        ("Copy of apple_12", "apple_12"),
        ("aug_apple_12", "apple_12"),
        ("aug_7_8123", "aug_7"),
        (f"fruit_original_apple_1.jpg_{UUID}", "apple_1"),
        ("IMG_E1234", "IMG_1234"),
        ("apple_frame_0012", "apple_frame"),
        ("clip3_0001", "clip3"),
        ("garden_mp4-12", "garden_mp4"),
        (f"garden_mp4-12_jpg.rf.{hashed(1)}", "garden_mp4"),
        ("20230511_102030_001", "20230511_102030"),
        ("IMG_20230511_102030_BURST001_COVER", "IMG_20230511_102030"),
        ("00001IMG_00001_BURST20230511102030123_COVER", "BURST20230511102030123"),
        ("PXL_20230511_102030123.BURST-01", "PXL_20230511_102030123"),
    ],
)
def test_versions_and_frames_name_their_source(name, source):
    found = origin(name, known={"apple_12"})
    assert (found.source, found.is_version) == (source, True)


@pytest.mark.parametrize(
    "name",
    [
        *("apple_12", "apple (12)", "apple_crop_1", "crop_4", "image_crop_4", "framed_12", "doorframe_12", "MOV_0012"),
        *("clipper_1_2", "download (3)", "images (3)", "WhatsApp Image 2023-05-11 at 10.20.30 (3)"),
    ],
)
def test_running_numbers_are_not_versions(name):
    assert not origin(name, known={name.partition(" (")[0]} - {name}).is_version
    assert not origin(name).is_version


@pytest.mark.parametrize(
    ("name", "label"),
    [
        (f"apple_0_jpg.rf.{hashed(7)}", "apple"),
        ("apple_12_flip", "apple"),
        ("apple_frame_0012", "apple"),
        ("apple_clip2_0012", "apple"),
        ("apple_mp4-12", "apple"),
        ("speed30_000", "speed30"),
        ("speed30 (4)", "speed30"),
        ("0_12", "0"),
        ("12", ""),
        ("red apple-3", "red apple"),
        ("apple.4f1c.2", "apple"),
        ("level2.4f1c.2", "level2"),
    ],
)
def test_class_is_before_the_versions_and_the_last_number(name, label):
    assert class_in_name(name) == label


@pytest.mark.parametrize(
    "name",
    [
        "IMG-20230511-WA0004",
        "VID-20230511-WA0004",
        "WhatsApp Image 2023-05-11 at 10.20.30",
        "photo_2023-05-11_10-20-30",
        "signal-2023-05-11-102030_001",
        "FB_IMG_1234567",
        "received_12345",
        "mmexport1683772830000",
        "_DSC1234",
        "_MG_1234",
        "P1010001",
        "G0012345",
        "20230511_102030",
        "2023-05-11 10.20.30",
        "Screenshot_20230511-102030_Chrome",
        "DJI_0001",
    ],
)
def test_names_of_cameras_and_messengers_are_known(name):
    assert is_camera_name(name)


@pytest.mark.parametrize("name", ["apple_12", "p_3", "speed30_001", "2023 car_1", "Pear1", "imagine_3"])
def test_names_of_classes_are_not_camera_names(name):
    assert not is_camera_name(name)


@given(st.text(max_size=30))
def test_every_name_has_a_source_and_perhaps_a_class(name):
    assert origin(name).source or not name
    assert len(class_in_name(name)) <= len(name)


@given(
    st.lists(
        st.sampled_from(["a/1", "a/1_flip", "b/1", "train/a/1", "test/a/1_flip", "x/2_jpg.rf.00000000"]), unique=True
    )
)
def test_every_photo_is_in_one_group(stems):
    names = [f"{stem}.jpg" for stem in stems]
    assert sorted(name for group in groups(names) for name in group.frames) == sorted(names)
    keys = [group.key for group in groups(names)]
    assert len(keys) == len(set(keys))


# --- classes from names ------------------------------------------------------------------------------------


def test_exported_versions_have_the_class_of_their_source(tmp_path):
    names = [
        f"train/{label}_{n}_jpg.rf.{hashed(10 * n + version)}.png"
        for label in ("apple", "leaf")
        for n in range(3)
        for version in range(3)
    ]
    prepared = run(draw_all(tmp_path / "photos", *names))
    assert prepared.counts == {"train": {"apple": 6, "leaf": 6}, "validation": {"apple": 3, "leaf": 3}}
    assert not sources_apart(tmp_path / "photos", lambda name: name.split("_jpg.rf.")[0])


def test_messenger_names_are_no_classes(tmp_path):
    names = [f"IMG-{day}-WA{n:04}.png" for day in (20230511, 20230512) for n in range(6)]
    with pytest.raises(BlockError, match=r"Doubtful: IMG-20230511-WA, IMG-20230512-WA.*make one folder for each class"):
        run(draw_all(tmp_path / "photos", *names))


@pytest.mark.parametrize("first", ["speed30_{:03}", "speed30 ({})", "speed30-{}"])
def test_numbers_that_may_belong_to_the_class_are_asked_about(tmp_path, first):
    names = [f"{first.format(n)}.png" for n in range(6)] + [
        f"{label}_{n}.png" for label in ("speed50", "stop") for n in range(6)
    ]
    photos = draw_all(tmp_path / "photos", *names)
    with pytest.raises(BlockError, match=r"speed30, speed50 can be different classes, or one class, speed") as refused:
        run(photos)
    assert "The simplest remedy" not in str(refused.value)
    assert run(photos, labels_from="name").classes == ("speed30", "speed50", "stop")


def test_photos_numbered_twice_are_asked_about(tmp_path):
    photos = draw_all(tmp_path / "photos", *(f"{person}_{n}.png" for person in ("0001", "0002") for n in range(3)))
    with pytest.raises(BlockError, match="0001, 0002 can be different classes, or only numbers of photos"):
        run(photos)


def test_class_of_an_unreadable_photo_does_not_vanish(tmp_path):
    photos = draw_all(tmp_path / "photos", *(f"{label}_{n}.png" for label in ("apple", "leaf") for n in range(10)))
    (photos / "sea_1.png").write_bytes(b"broken")
    with pytest.raises(BlockError, match=r"No photo of class 'sea' .* can be read \(sea_1\.png\)"):
        run(photos)


# --- splits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "version",
    [
        "{}_jpg.rf.{:032x}",
        "{}_aug{}",
        "{}_rot{}",
        "{} copy {}",
        "clip{}_{:03}",
        "clip_{}_frame_{}",
        "20230511_10{:02}00_{:03}",
    ],
)
def test_versions_of_one_photo_stay_together(tmp_path, version):
    names = [
        f"{label}/{version.format(f'{n:02}' if 'rf' in version else n, v)}.png"
        for label in "ab"
        for n in range(10, 25)
        for v in range(3)
    ]
    photos = draw_all(tmp_path / "photos", *names)
    prepared = run(photos, labels_from="folder")
    assert prepared.counts["validation"] == {"a": 9, "b": 9}
    assert prepared.warnings == ()
    together = {name: group.key for group in groups(names) for name in group.frames}
    assert len(set(together.values())) == 30
    assert not sources_apart(photos, together.get)


def test_augmented_copies_in_a_folder_of_their_own_stay_with_the_originals(tmp_path):
    names = [f"{place}/{label}/{n}.png" for label in "ab" for place in ("original", "augmented") for n in range(10)]
    photos = draw_all(tmp_path / "photos", *names)
    prepared = run(photos, labels_from="folder")
    assert prepared.counts["validation"] == {"a": 4, "b": 4}
    assert not sources_apart(photos, lambda name: name.split("/", 1)[1])


def test_objects_of_one_video_stay_together_for_detection(tmp_path):
    photos = tmp_path / "photos"
    for clip in range(10):
        for frame in range(5):
            path = draw(photos / f"walk{clip}_mp4-{frame:04}.png", size=(48, 48))
            path.with_suffix(".xml").write_text(
                "<annotation><object><name>cat</name><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>25</xmax><ymax>25</ymax>"
                "</bndbox></object></annotation>"
            )
    run(photos, task="detection")
    found = names_by_split(photos)
    assert len(found["validation"]) == 10
    assert not sources_apart(photos, lambda name: name.split("_mp4")[0])


def test_only_video_of_a_class_is_cut_with_a_warning(tmp_path):
    photos = draw_all(tmp_path / "photos", *(f"{label}/frame_{n:04}.png" for label in "ab" for n in range(20)))
    prepared = run(photos)
    ends = {f"{label}/frame_{n:04}.png" for label in "ab" for n in range(16, 20)}
    assert names_by_split(photos)["validation"] == ends
    (warning,) = prepared.warnings
    assert warning.startswith("8 validation photos come from the same photo or video as a training photo")
    assert "(128 pairs)" in warning


@pytest.mark.parametrize("name", ["images", "download", "{}", "WhatsApp Image 2023-05-11 at 10.20.30"])
def test_photos_that_a_browser_or_messenger_numbered_are_different_photos(tmp_path, name):
    names = [f"{label}/{name.format(label)}{f' ({n})' if n else ''}.png" for label in ("cat", "dog") for n in range(10)]
    prepared = run(draw_all(tmp_path / "photos", *names))
    assert prepared.counts == {"train": {"cat": 8, "dog": 8}, "validation": {"cat": 2, "dog": 2}}
    assert prepared.warnings == ()


def test_number_before_the_last_does_not_contradict_the_class_folder(tmp_path):
    names = [f"{label}/{label}_1_{n:03}.png" for label in ("cat", "dog") for n in range(10)]
    prepared = run(draw_all(tmp_path / "photos", *names))
    assert (prepared.classes, prepared.warnings) == (("cat", "dog"), ())


def test_name_that_ends_in_frame_is_a_class(tmp_path):
    names = [f"{label}/{label}{n}.png" for label in ("doorframe", "window") for n in range(10)]
    prepared = run(draw_all(tmp_path / "photos", *names))
    assert (prepared.classes, prepared.warnings) == (("doorframe", "window"), ())


def test_versions_of_a_single_photo_are_refused(tmp_path):
    names = [f"{label}/{label}_{n}_jpg.rf.{hashed(n)}.png" for label in ("apple",) for n in range(4)]
    names += [f"leaf/leaf_0_jpg.rf.{hashed(n)}.png" for n in range(4)]
    with pytest.raises(
        BlockError, match=r"only one training photo of class leaf \(versions of one photo count as one\)"
    ):
        run(draw_all(tmp_path / "photos", *names))


def test_given_split_that_parts_versions_gives_a_warning(tmp_path):
    names = [
        f"{split}/{label}/{label}_{n}_jpg.rf.{hashed(10 * n + version)}.png"
        for label in ("apple", "leaf")
        for n in range(3)
        for split, version in (("train", 0), ("train", 1), ("valid", 2))
    ]
    prepared = run(draw_all(tmp_path / "photos", *names))
    (warning,) = prepared.warnings
    assert warning.startswith("6 validation photos come from the same photo or video") and "(12 pairs)" in warning


def test_numbers_that_begin_anew_in_each_split_are_other_photos():
    plain = {f"{split}/a/{n}{end}.jpg": split for split in ("train", "holdout") for n in "12" for end in ("", "_flip")}
    assert levels(plain).splits
    assert parted(plain) == {}
    moved = {name: "train" if "train" in name else "holdout" for name in ("train/a/1.jpg", "holdout/a/1_flip.jpg")}
    assert parted(moved)["train", "holdout"].pairs == 1


def test_photos_of_a_burst_in_two_splits_give_a_warning(tmp_path):
    photos = tmp_path / "photos"
    for label in "ab":
        for n in range(10):
            exif = Image.Exif()
            exif.get_ifd(0x8769)[0x9003] = f"2023:05:11 10:20:{n + 10 * (label == 'b'):02}"
            draw(photos / label / f"IMG_{n:04}.jpg", exif=exif)
    (warning,) = run(photos).warnings
    assert "photos were taken within 1 second of a photo in another split" in warning


@pytest.mark.parametrize("minutes", [0, 1])
def test_times_in_names_tell_bursts_too(tmp_path, minutes):
    names = [f"{label}/IMG_20230511_10{minutes * n:02}{n:02}.png" for label in "ab" for n in range(10)]
    assert len(run(draw_all(tmp_path / "photos", *names)).warnings) == (minutes == 0)


@pytest.mark.parametrize(
    "name", ["{}_{}.png", "photo{}-{}.png", "{}/{}.png", "{:03}{:03}.png", "IMG_2023051{}_102{}00.png"]
)
def test_names_with_two_numbers_are_warned_of(tmp_path, name):
    photos = draw_all(
        tmp_path / "photos", *(f"{label}/{name.format(n, v)}" for label in "ab" for n in range(9) for v in range(3))
    )
    warnings = run(photos, labels_from="folder").warnings
    has_two_numbers = name in ("{}_{}.png", "photo{}-{}.png")
    assert len(warnings) == has_two_numbers
    if has_two_numbers:
        assert "names are in several sets" in warnings[0]


@pytest.mark.parametrize("prefix", ["n02088364_", "2023_", "set 1 "])
def test_names_that_a_whole_folder_shares_are_not_warned_of(tmp_path, prefix):
    names = [f"{label}/{prefix}{n}.png" for label in "ab" for n in range(20)]
    assert run(draw_all(tmp_path / "photos", *names)).warnings == ()


def test_photos_that_differ_only_in_their_ending_are_warned_of(tmp_path):
    photos = draw_all(
        tmp_path / "photos", *(f"{label}/{n}.{ending}" for label in "ab" for n in range(9) for ending in ("png", "bmp"))
    )
    (warning,) = run(photos).warnings
    assert "names are in several sets" in warning


def test_numbers_that_are_classes_are_not_warned_of(tmp_path):
    photos = draw_all(tmp_path / "photos", *(f"speed{limit}_{n}.png" for limit in (30, 50) for n in range(9)))
    assert run(photos, labels_from="name").warnings == ()


def test_photo_without_versions_keeps_its_split(tmp_path):
    names = [f"{label}/{n:03}.png" for label in "ab" for n in range(20)]
    photos = draw_all(tmp_path / "photos", *names)
    run(photos)
    # the validation photos that the first version of this program chose
    assert names_by_split(photos)["validation"] == {
        *("a/003.png", "a/005.png", "a/017.png", "a/019.png", "b/005.png", "b/007.png", "b/009.png", "b/011.png")
    }


# --- the report --------------------------------------------------------------------------------------------


def test_report_counts_the_pairs_of_versions_in_two_splits(tmp_path):
    photos, generator = tmp_path / "photos", np.random.default_rng(1)
    for label in ("apple", "leaf"):
        for n in range(3):
            for split, versions in (("train", "01"), ("valid", "2")):
                for version in versions:
                    path = photos / split / label / f"{label}_{n}_jpg.rf.{hashed(10 * n + int(version))}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(generator.integers(0, 255, (8, 8, 3), np.uint8)).resize((48, 48)).save(path)
    run(photos)
    found = data_checks.photo_warnings(reading.read(tmp_path / "out"))
    assert len(found) == 1
    assert found[0].startswith(
        "6 validation photos are nearly identical to a training photo, or from the same photo or video"
    )
    assert "12 pairs lie in both sets." in found[0]
