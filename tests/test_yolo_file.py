"""What a line of a YOLO label file says."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from block.photos.yolo_file import looks_like_yolo, read_objects

SHARES = st.floats(0, 1, allow_nan=False)
POINTS = st.lists(st.tuples(SHARES, SHARES), min_size=3, max_size=12)
BLANKS = st.sampled_from([" ", "\t", "   "])


def only(text, keypoint_numbers=None):
    (found,) = read_objects(text, keypoint_numbers)
    return found


@given(st.integers(0, 999), SHARES, SHARES, SHARES, SHARES, BLANKS)
def test_box_is_given_by_centre_and_size(number, x, y, width, height, blank):
    found = only(blank.join(map(repr, (number, x, y, width, height))))
    left, top, *size = found.edges
    assert (found.number, size) == (number, [width, height])
    assert left + width / 2 == pytest.approx(x) and top + height / 2 == pytest.approx(y)


@given(POINTS)
def test_polygon_is_read_by_its_box(points):
    found = only("0 " + " ".join(f"{x!r} {y!r}" for x, y in points))
    left, top, width, height = found.edges
    across, down = zip(*points, strict=True)
    assert (left, top) == (min(across), min(down))
    assert left + width == pytest.approx(max(across)) and top + height == pytest.approx(max(down))


@given(SHARES, SHARES, st.integers(1, 20), st.sampled_from([2, 3]))
def test_pose_is_read_by_its_box_where_the_set_tells_its_keypoints(x, y, keypoints, numbers):
    line = " ".join(map(repr, (1, x, y, 0.25, 0.5, *(0.5 for _ in range(keypoints * numbers)))))
    assert only(line, keypoints * numbers).edges == (x - 0.125, y - 0.25, 0.25, 0.5)
    with pytest.raises(ValueError, match=r"line 1: it has \d+ numbers.*by kpt_shape a pose has"):
        read_objects(f"{line} 0.5", keypoints * numbers)


def test_pose_with_an_even_count_of_numbers_is_read_without_a_kpt_shape():
    assert only("0 0.5 0.5 0.2 0.4 0.5 0.5 2").edges == pytest.approx((0.4, 0.3, 0.2, 0.4))


@given(st.text(alphabet="0123456789.-+eE na\t\n\"'xif,", max_size=60), st.sampled_from([None, 6]))
def test_any_text_is_read_or_refused_by_its_line(text, keypoint_numbers):
    try:
        found = read_objects(text, keypoint_numbers)
    except ValueError as error:
        assert str(error).startswith("line ")
    else:
        assert len(found) == sum(bool(line.strip()) for line in text.splitlines())
        assert all(each.edges[2] >= 0 and each.edges[3] >= 0 and each.number >= 0 for each in found)


@given(st.lists(st.floats(-3, 3), min_size=4, max_size=4))
def test_numbers_outside_the_photo_are_refused(values):
    assume(any(not -0.01 <= value <= 1.01 for value in values))
    with pytest.raises(ValueError, match=r"line 2: .* does not lie between 0 and 1"):
        read_objects("0 0.5 0.5 0.1 0.1\n" + " ".join(map(repr, [0, *values])), None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("cat 0.5 0.5 0.1 0.1", "'cat' is not a number"),
        ("0,0.5,0.5,0.1,0.1", "'0,0.5,0.5,0.1,0.1' is not a number"),
        ("0 0.5 0.5 0.1 nan", "'nan' is not a number"),
        ("0 0.5 0.5 0.1 1_0", "'1_0' is not a number"),
        ("0.5 0.5 0.5 0.1 0.1", "0.5 is not the number of a class"),
        ("-1 0.5 0.5 0.1 0.1", "-1 is not the number of a class"),
        ("0 0.5 0.5 0.1", "it has 4 numbers"),
        ("0 0.5 0.5 0.1 0.1 0.93", "a sixth is the confidence"),
        ("0 0.5 0.5 -0.005 0.1", "width or height of its box is below 0"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4 0.4 0.5", "it has 10 numbers"),
    ],
)
def test_line_that_is_not_understood_is_refused(line, reason):
    with pytest.raises(ValueError, match=f"line 3: .*{reason}"):
        read_objects(f"0 0.5 0.5 0.1 0.1\n\n{line}", None)


def test_class_number_may_be_written_as_a_float():
    assert only("3.0 0.5 0.5 0.1 0.1").number == 3


def test_other_texts_do_not_look_like_yolo():
    assert looks_like_yolo("\n 0 .5 0.5 1e-1 0.1\nwrong") and looks_like_yolo("1 0.1 0.1 0.2 0.2 0.3 0.3")
    assert not any(map(looks_like_yolo, ("", "a photo of a cat", "0 1", "cat 0.5 0.5 0.1 0.1", "0.5 0.5 0.5 0.1 0.1")))
