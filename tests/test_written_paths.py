"""What paths in label files can mean, if the data has moved since."""

from hypothesis import given
from hypothesis import strategies as st

from block.photos.written_paths import parts_of, readings

PARTS = st.lists(st.sampled_from(["a", "b", "images", "train", "val", "..", "."]), min_size=1, max_size=6)


@given(PARTS, st.sampled_from(["", "a", "a/b"]), st.sampled_from(["", "/", "C:\\", "./"]), st.sampled_from("/\\"))
def test_readings_stay_below_the_photo_folder_and_keep_the_split(parts, start, root, slash):
    found = list(readings(root + slash.join(parts), start))
    assert not any(name.startswith(("/", "..")) or "\\" in name for name in found)
    first_split = next((n for n, part in enumerate(parts) if part in ("train", "val")), None)
    if first_split is not None and ".." not in parts[first_split:]:
        assert all(parts[first_split] in name.split("/") for name in found)


def test_folders_of_another_machine_are_left_out_one_by_one():
    assert list(readings("/content/set/images/1.jpg", "")) == [
        "content/set/images/1.jpg",
        "set/images/1.jpg",
        "images/1.jpg",
        "1.jpg",
    ]
    assert list(readings("../valid/images", "")) == ["valid/images"]
    assert list(readings("../valid/images", "set")) == ["valid/images", "set/valid/images"]
    assert list(readings(".", "")) == [""]


def test_slashes_and_drives_of_windows_are_read():
    assert parts_of("C:\\data\\.\\images\\1.jpg") == ("data", "images", "1.jpg")
