"""The types that all label formats return (classes or boxes of each photo), and the checks that they share."""

import unicodedata
from collections.abc import Mapping
from typing import Any

import numpy as np

from block.errors import BlockError

Labels = dict[str, frozenset[str]]
"""The classes of each photo, by photo name. A photo has several classes if it has boxes of several classes."""
PhotoBoxes = list[tuple[str, np.ndarray]]
"""A photo's boxes: the class, and (4,) x, y, width, height in px."""


def normalized(label: Any) -> str:
    """A label in Unicode form NFC without surrounding blanks; empty for None."""
    return "" if label is None else unicodedata.normalize("NFC", str(label).strip())


def box_numbers(place: Any, label: str, edges: Mapping[str, Any]) -> np.ndarray:
    """The numbers of a box, (4,) float. Raises BlockError that names `place` if a number or the label is missing."""
    try:
        numbers = np.array([float(edge) for edge in edges.values()])
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    if not label or not np.isfinite(numbers).all():
        raise BlockError(
            f"{place} has a box {label!r} with {', '.join(f'{name} {edge}' for name, edge in edges.items())}. "
            "A box needs a label and four numbers. Correct or remove the box."
        )
    return numbers
