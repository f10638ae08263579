"""Charts of a report as SVG text. The page sets their colours, so that they fit the light and the dark scheme.

matplotlib does not support CSS variables. It draws in placeholder colours, which are replaced by variables afterwards.
"""

import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# placeholder colours, and the page's CSS variables that replace them
INK, GRID, FIRST, SECOND, FAINT = "#010203", "#010204", "#010205", "#010206", "#010207"
VARIABLES = {INK: "--ink", GRID: "--line", FIRST: "--first", SECOND: "--second", FAINT: "--faint"}
# Inches of 72 px. The charts are narrow, so that text stays readable when a phone scales them down.
WIDTH, HEIGHT = 4.7, 3.0
BAR_HEIGHT = 0.25
LEFT, LEFT_OF_BARS, BOTTOM, TOP, RIGHT = 0.95, 1.95, 0.6, 0.1, 0.3
RELIABILITY_BINS = 10
# The loss axis ends at this multiple of the median loss.
WILD = 8.0

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # keep text as text, not as paths
    "svg.hashsalt": "report",  # a fixed salt gives the same ids for the same data
    "font.size": 12,
    "text.parse_math": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 2,
}


def curves(
    epochs: Sequence[int], lines: Mapping[str, Sequence[float]], kept: int, name: str, unit: str, is_share: bool
) -> str:
    """A line chart of values by epoch. A dot marks the epoch `kept` on the last of `lines`."""

    def draw(axes: "Axes") -> None:
        from matplotlib.ticker import MaxNLocator

        styles = (("--", SECOND), ("-", FIRST))[-len(lines) :]
        for (label, values), (dashes, colour) in zip(lines.items(), styles, strict=True):
            axes.plot(epochs, values, dashes, color=colour, label=label)
        axes.axvline(kept, color=INK, linewidth=1, linestyle=":")
        validated = list(lines.values())[-1]
        if kept in epochs:
            value = validated[list(epochs).index(kept)]
            axes.plot([kept], [value], "o", color=FIRST, markersize=7, label=f"best: epoch {kept}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(unit)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if is_share:
            axes.set_ylim(0, 1.02)
            axes.yaxis.set_major_formatter(_percent)
        else:
            # An axis that ends at the largest loss would flatten the curve if one epoch has an extreme loss.
            values = np.concatenate([np.asarray(line) for line in lines.values()])
            axes.set_ylim(0, 1.05 * min(float(np.nanmax(values)), WILD * float(np.nanmedian(values))))
        axes.legend()

    return _svg(draw, name, f"{', '.join(lines)} by epoch; epoch {kept} was best.")


def reliability(confidences: np.ndarray, is_right: np.ndarray, threshold: float) -> str:
    """A reliability diagram: the share of correct answers by confidence, and a histogram of the confidences.

    `confidences` (N,) are from 0 to 1. `is_right` (N,) is 1 for a correct answer, else 0.
    """
    edges = np.linspace(0, 1, RELIABILITY_BINS + 1)
    bins = np.clip(np.digitize(confidences, edges) - 1, 0, RELIABILITY_BINS - 1)
    counts = np.bincount(bins, minlength=RELIABILITY_BINS)
    filled = counts > 0
    right = np.bincount(bins, weights=is_right, minlength=RELIABILITY_BINS)[filled] / counts[filled]
    mean_confidence = np.bincount(bins, weights=confidences, minlength=RELIABILITY_BINS)[filled] / counts[filled]

    def draw(axes: "Axes") -> None:
        share = counts / max(1, counts.sum())
        axes.bar(edges[:-1] + 0.05, share, width=0.09, color=FAINT, label="share of all answers")
        axes.plot([0, 1], [0, 1], ":", color=INK, linewidth=1, label="ideal")
        axes.axvline(threshold, color=SECOND, linewidth=1.5, linestyle="--", label=f"threshold {threshold:.0%}")
        axes.plot(mean_confidence, right, "o-", color=FIRST, label="share correct")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.04)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(_percent)
        axes.set_xlabel("confidence")
        axes.set_ylabel("share of correct answers")
        axes.legend(loc="upper left", fontsize=10)

    return _svg(draw, "reliability", "Share of correct answers by confidence.")


def precision_recall(rows: Sequence[Mapping[str, float]], threshold: float) -> str:
    """Precision, recall and F1 by confidence threshold. A line marks the chosen threshold."""
    thresholds = [row["threshold"] for row in rows]

    def draw(axes: "Axes") -> None:
        for name, dashes, colour in (("precision", "--", SECOND), ("recall", "-.", INK), ("f1", "-", FIRST)):
            label = "F1" if name == "f1" else name
            axes.plot(thresholds, [row[name] for row in rows], dashes, color=colour, label=label)
        axes.axvline(threshold, color=INK, linewidth=1, linestyle=":", label=f"chosen: {threshold:.0%}")
        axes.set_ylim(0, 1.02)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(_percent)
        axes.set_xlabel("confidence threshold")
        axes.legend(loc="lower center", fontsize=10, ncols=2)

    return _svg(draw, "threshold", "Precision, recall and F1 by confidence threshold.")


def bars(names: Sequence[str], values: Sequence[float], name: str, unit: str, description: str) -> str:
    """A chart of horizontal bars. The first one is at the top."""

    def draw(axes: "Axes") -> None:
        places = np.arange(len(names))
        axes.barh(places, values, color=FIRST, height=0.7)
        axes.set_yticks(places, names, fontsize=10)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel(unit)
        axes.margins(x=0.02)

    return _svg(draw, name, description, BOTTOM + TOP + BAR_HEIGHT * len(names), LEFT_OF_BARS)


def _percent(value: float, _position: float) -> str:
    return f"{value:.0%}"


def _svg(draw: "Callable[[Axes], Any]", name: str, description: str, height: float = HEIGHT, left: float = LEFT) -> str:
    """One figure as an <svg> element. Its ids begin with `name`, so that the ids of all figures differ."""
    with _quiet():
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(WIDTH, height))
            FigureCanvasSVG(figure)
            # Margins are fixed, because measuring them would draw everything twice.
            top, right, bottom = TOP, WIDTH - RIGHT, BOTTOM
            figure.subplots_adjust(left / WIDTH, bottom / height, right / WIDTH, 1 - top / height)
            draw(figure.add_subplot())
            text = StringIO()
            figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _for_page(text.getvalue(), name, description)


def _for_page(text: str, name: str, description: str) -> str:
    body = text[text.index(">", text.index("<svg")) + 1 :]
    view_box = re.search(r'viewBox="[^"]*"', text)
    # A style sheet in an SVG applies to the whole page. The page has these rules itself.
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"(\bid=\"|href=\"#|url\(#)", rf"\1{name}-", body)
    body = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", body)
    body = re.sub(r"(font: [^;\"']*)'[^;\"]*", r"\1system-ui, sans-serif", body)
    for stand_in, variable in VARIABLES.items():
        body = body.replace(stand_in, f"var({variable})")
    opening = f'<svg class="chart" role="img" aria-label={quoteattr(description)}'
    return f'{opening} {view_box[0] if view_box else ""} xmlns:xlink="http://www.w3.org/1999/xlink">{body}'


@contextmanager
def _quiet() -> Iterator[None]:
    # Messages of matplotlib about font caches and missing glyphs do not help people who train a model.
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
