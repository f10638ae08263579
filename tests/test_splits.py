import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from block.errors import BlockError
from block.photos.folder import PhotoFolder
from block.photos.splits import choose_splits


def split_photos(root, *classes_on):
    labels = {f"{number:03}.jpg": frozenset(on_photo) for number, on_photo in enumerate(classes_on)}
    folder = PhotoFolder(root, {name: root / name for name in labels})
    splits, _ = choose_splits(folder, labels, seed=1, task="detection")
    shown = {split: [labels[name] for name in labels if splits[name] == split] for split in ("train", "validation")}
    assert sum(map(len, shown.values())) == len(labels)
    return shown


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sets(st.sampled_from("abc"), max_size=3), min_size=1, max_size=30))
def test_every_class_is_in_training_and_an_object_in_validation_if_possible(tmp_path_factory, classes_on):
    root = tmp_path_factory.getbasetemp()
    classes = frozenset().union(*classes_on)
    if len(classes_on) == 1:
        with pytest.raises(BlockError, match=r"too few photos"):
            split_photos(root, *classes_on)
        return
    try:
        shown = split_photos(root, *classes_on)
    except BlockError:
        # each photo is the only training photo of a class
        assert len(classes_on) <= len(classes)
        return
    assert shown["validation"]
    assert frozenset().union(*shown["train"]) == classes
    if sum(map(bool, classes_on)) > len(classes):
        assert any(shown["validation"])


def test_only_photo_of_a_class_is_for_training(tmp_path):
    shown = split_photos(tmp_path, *[{"common"}] * 20, {"rare"}, {"rare", "common"}, {"rarer"})
    assert frozenset({"rarer"}) in shown["train"]


def test_single_photo_is_refused(tmp_path):
    with pytest.raises(
        BlockError, match=r"Each class needs one for training, and one more photo is needed for validation\. Add"
    ):
        split_photos(tmp_path, {"only"})
