import pytest
from hypothesis import given
from hypothesis import strategies as st

from esp32_deploy.compile.graph import StreamError
from esp32_deploy.compile.memory import ALIGNMENT_BYTES, SEGMENT_BYTES, Piece, lay_out

PHASES = 4


@st.composite
def pieces_and_distances(draw):
    pieces = []
    for number in range(draw(st.integers(1, 9))):
        first, last = sorted(draw(st.tuples(*[st.integers(0, PHASES)] * 2)))
        pieces.append(Piece(f"piece {number}", draw(st.sampled_from((0, 3, 40, 1000, 30_000))), first, last))
    pairs = [
        (over, under)
        for over in range(len(pieces))
        for under in range(len(pieces))
        if over != under and pieces[over].first == pieces[under].last
    ]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    distances = {pair: draw(st.integers(-50, 50)) for pair in chosen if (pair[1], pair[0]) not in chosen}
    return pieces, distances


def overlap(first, second):
    same = first.segment == second.segment
    return same and first.offset < second.end and second.offset < first.end


@given(pieces_and_distances())
def test_pieces_that_are_needed_at_once_lie_apart_or_at_their_distance(drawn):
    pieces, distances = drawn
    layout = lay_out(pieces, distances)
    for one, place in enumerate(layout.places):
        assert place.offset % ALIGNMENT_BYTES == 0
        assert pieces[one].bytes <= place.bytes < pieces[one].bytes + ALIGNMENT_BYTES
        assert 0 <= place.offset <= place.end <= layout.segments[place.segment] <= SEGMENT_BYTES
        for other in range(one):
            are_needed_at_once = pieces[one].first <= pieces[other].last and pieces[other].first <= pieces[one].last
            if are_needed_at_once and overlap(place, layout.places[other]):
                pair = (one, other) if (one, other) in distances else (other, one)
                over, under = (layout.places[number] for number in pair)
                assert over.offset + distances[pair] <= under.offset


@given(pieces_and_distances())
def test_a_layout_is_no_smaller_than_any_moment_and_no_larger_than_all_pieces(drawn):
    pieces, _ = drawn
    layout = lay_out(pieces, {})
    moments = [sum(p.bytes for p in pieces if p.first <= phase <= p.last) for phase in range(PHASES + 1)]
    assert max(moments) <= layout.bytes <= sum(place.bytes for place in layout.places)


def test_a_chain_of_planes_needs_the_memory_of_its_largest_pair():
    pieces = [Piece(f"plane {n}", size, n, n + 1) for n, size in enumerate((400, 800, 200, 1000, 600))]
    assert lay_out(pieces, {}).bytes == 1600


def test_a_plane_that_may_overwrite_its_source_needs_no_memory_of_its_own():
    pieces = [Piece("source", 800, 0, 1), Piece("target", 800, 1, 2)]
    assert lay_out(pieces, {(1, 0): 0}).bytes == 800
    assert lay_out(pieces, {(1, 0): 100}).bytes == 900


def test_a_piece_larger_than_a_segment_is_refused():
    with pytest.raises(StreamError, match=r"\(rows of a plane\) would need 65540 bytes\. At most 65536 are possible"):
        lay_out([Piece("rows of a plane", SEGMENT_BYTES + 1, 0, 0)], {})
