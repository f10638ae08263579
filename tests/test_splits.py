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
def test_every_class_is_learned_and_an_object_validates_where_one_can_be_spared(tmp_path_factory, classes_on):
    root = tmp_path_factory.getbasetemp()
    classes = frozenset().union(*classes_on)
    if len(classes_on) == 1:
        with pytest.raises(BlockError, match=r"too few photos"):
            split_photos(root, *classes_on)
        return
    try:
        shown = split_photos(root, *classes_on)
    except BlockError:
        # no photo but holds what no other is kept for
        assert len(classes_on) <= len(classes)
        return
    assert shown["validation"]
    assert frozenset().union(*shown["train"]) == classes
    if sum(map(bool, classes_on)) > len(classes):
        assert any(shown["validation"])


def test_a_photo_of_the_only_one_of_its_class_is_learned_from(tmp_path):
    shown = split_photos(tmp_path, *[{"common"}] * 20, {"rare"}, {"rare", "common"}, {"rarer"})
    assert frozenset({"rarer"}) in shown["train"]


def test_a_single_photo_cannot_both_teach_and_validate(tmp_path):
    with pytest.raises(BlockError, match=r"each class needs one to learn from, and one more has to validate\. Add"):
        split_photos(tmp_path, {"only"})
