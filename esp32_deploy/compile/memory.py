"""Lays pieces of memory out in segments. Pieces that are never needed at the same time share bytes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from esp32_deploy.compile.graph import StreamError

SEGMENT_BYTES = 64 * 1024
"""Largest segment, because the free memory of a board lies in pieces."""
ALIGNMENT_BYTES = 4


@dataclass(frozen=True)
class Place:
    """A range of bytes in a memory segment."""

    segment: int
    offset: int
    bytes: int

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.offset + self.bytes


@dataclass(frozen=True)
class Piece:
    """A piece of memory: what it is for, its bytes, and the first and last phase in which it is needed."""

    what: str
    bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class Layout:
    """The places of pieces, in their order, and the bytes of each segment."""

    places: tuple[Place, ...]
    segments: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Bytes of all segments."""
        return sum(self.segments)


def aligned(size: int) -> int:
    """A size, rounded up to the alignment of pieces."""
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def lay_out(pieces: Sequence[Piece], distances: Mapping[tuple[int, int], int]) -> Layout:
    """Places for pieces. Several orders are tried, and the smallest layout wins. A piece goes to its lowest free place.

    `distances` lists pairs (over, under) of pieces that may overlap although one phase needs both: `over` may lie over
    `under` if it begins at least that many bytes before it. Raises StreamError if a piece does not fit in a segment.
    """
    for piece in pieces:
        if aligned(piece.bytes) > SEGMENT_BYTES:
            raise StreamError(
                f"one piece of memory ({piece.what}) would need {aligned(piece.bytes)} bytes. At most {SEGMENT_BYTES} "
                "are possible. Train for a smaller image."
            )
    layouts = [_in_order(pieces, distances, sorted(range(len(pieces)), key=key)) for key in _orders(pieces)]
    return min(layouts, key=lambda layout: layout.bytes)  # the first of several smallest ones


def _orders(pieces: Sequence[Piece]) -> list[Callable[[int], tuple[int, ...]]]:
    """Sort keys of the orders to try. One is enough for pieces that all exist at the same time: they leave no gaps."""
    orders: list[Callable[[int], tuple[int, ...]]] = [lambda number: (number,)]
    if len({(piece.first, piece.last) for piece in pieces}) > 1:
        orders += [
            lambda number: (-pieces[number].bytes, number),
            lambda number: (-pieces[number].last, -pieces[number].bytes, number),
            lambda number: (pieces[number].first, -pieces[number].bytes, number),
            lambda number: (-pieces[number].last, pieces[number].first, -pieces[number].bytes, number),
        ]
    return orders


def _in_order(pieces: Sequence[Piece], distances: Mapping[tuple[int, int], int], order: Sequence[int]) -> Layout:
    segments: list[int] = []
    places: dict[int, Place] = {}
    for number in order:
        place = next(
            found
            for segment in range(len(segments) + 1)
            if (found := _lowest(pieces, distances, places, number, segment)) is not None
        )
        places[number] = place
        segments += [0] * (place.segment + 1 - len(segments))
        segments[place.segment] = max(segments[place.segment], place.end)
    return Layout(tuple(places[number] for number in range(len(pieces))), tuple(segments))


def _lowest(
    pieces: Sequence[Piece],
    distances: Mapping[tuple[int, int], int],
    places: Mapping[int, Place],
    number: int,
    segment: int,
) -> Place | None:
    """The lowest place of a piece in a segment, or None if the segment is full."""
    size = aligned(pieces[number].bytes)
    others = {other: place for other, place in places.items() if place.segment == segment}
    ends = [place.end for place in others.values()]
    offsets = {0, *ends} if size else {max([0, *ends])}
    for other, place in others.items():
        if (number, other) in distances:
            offsets.add(place.offset - aligned(distances[number, other]))
        if (other, number) in distances:
            offsets.add(place.offset + aligned(distances[other, number]))
    for offset in sorted(offsets):
        found = Place(segment, offset, size)
        if offset < 0 or found.end > SEGMENT_BYTES:
            continue
        if all(_may_coexist(pieces, distances, (number, found), pair) for pair in others.items()):
            return found
    return None


def _may_coexist(
    pieces: Sequence[Piece],
    distances: Mapping[tuple[int, int], int],
    one: tuple[int, Place],
    other: tuple[int, Place],
) -> bool:
    """Whether two places of the same segment can be given to two pieces."""
    (first, first_place), (second, second_place) = one, other
    if pieces[first].last < pieces[second].first or pieces[second].last < pieces[first].first:
        return True
    if first_place.end <= second_place.offset or second_place.end <= first_place.offset:
        return True
    return any(
        pair in distances and over.offset + aligned(distances[pair]) <= under.offset
        for pair, over, under in (
            ((first, second), first_place, second_place),
            ((second, first), second_place, first_place),
        )
    )
