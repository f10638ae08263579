"""What every label format gives: classes by photo, or boxes by photo, checked in one way."""

import unicodedata
from collections.abc import Mapping
from typing import Any

import numpy as np

from block.errors import BlockError

Labels = dict[str, frozenset[str]]
"""The classes that a format gives each photo: none, one, or several where boxes of several classes lie on it."""
PhotoBoxes = list[tuple[str, np.ndarray]]
"""A photo's boxes: class, and x, y, width, height."""


def normalized(label: Any) -> str:
    """A label without surrounding blanks, its accents in one form; empty for None."""
    return "" if label is None else unicodedata.normalize("NFC", str(label).strip())


def box_numbers(place: Any, label: str, edges: Mapping[str, Any]) -> np.ndarray:
    """The numbers of a box, (4,) float; raises BlockError that names `place` where one, or the label, is missing."""
    try:
        numbers = np.array([float(edge) for edge in edges.values()])
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    if not label or not np.isfinite(numbers).all():
        raise BlockError(
            f"{place} has a box {label!r} of {', '.join(f'{name} {edge}' for name, edge in edges.items())}; "
            "a box needs a label and four numbers."
        )
    return numbers
