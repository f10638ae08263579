"""Program and schedule to C++: constants, tables, and the kernels that read them, all in the library's namespace.

Weights are reordered for the kernels' inner loops; zero points and biases are in the requantization's constants.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from esp32_deploy.compile.arithmetic import SoftmaxScaling
from esp32_deploy.compile.lower import Addition, Convolution, Layer, Mean
from esp32_deploy.compile.requantize import ExactRequantization, FastRequantization
from esp32_deploy.compile.schedule import Place, Schedule, Stage, places, strip_pixels

HERE = Path(__file__).resolve().parents[1]
KERNELS = "kernels"
KERNEL_NAMESPACE = "esp32_deploy"

BLOCK_CHANNELS = 4
"""Of kernels/pointwise.h."""
FORMS = ("rising", "two_sided", "exact")
"""Of kernels/requantize.h."""
LINE_CHARACTERS = 116

NETWORK_KERNELS = ("convolution", "depthwise", "elementwise", "pointwise", "pool", "requantize", "softmax", "stream")
"""What a streaming network is made of; the other kernels are for what surrounds it."""


@dataclass(frozen=True)
class Source:
    """The files of a model by their path in the library's src folder."""

    files: dict[str, str]
    constant_bytes: int


def emit(schedule: Schedule, name: str, file_bytes: int, title: str) -> Source:
    """C++ for a schedule; `name` is the namespace and the start of file names."""
    emitter = _Emitter(schedule)
    for number, layer in enumerate(schedule.program.layers):
        emitter.add_layer(number, layer)
    values = emitter.values() | {"name": name, "kernels": KERNELS, "file_bytes": file_bytes, "title": title}
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    files = {
        f"{name}_model.{kind}": environment.get_template(f"model.{kind}.j2").render(values) for kind in ("h", "cpp")
    }
    return Source(files | kernel_files(NETWORK_KERNELS, name), emitter.constant_bytes)


def kernel_files(kernels: Iterable[str], name: str) -> dict[str, str]:
    """Headers of the kernels named, in the library's namespace, by their path in its src folder."""
    return {
        f"{KERNELS}/{kernel}.h": (HERE / KERNELS / f"{kernel}.h")
        .read_text(encoding="utf-8")
        .replace(f"namespace {KERNEL_NAMESPACE}", f"namespace {name}")
        for kernel in kernels
    }


class _Emitter:
    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.program = schedule.program
        self.arrays: list[str] = []
        self.layers: list[str] = []
        self.constant_bytes = 0
        self.numbers = {id(layer): number for number, layer in enumerate(self.program.layers)}

    def values(self) -> dict[str, Any]:
        """What the templates show."""
        schedule = self.schedule
        order = sorted(schedule.buffers)
        self.rings = {plane: number for number, plane in enumerate(order)}
        parts: list[str] = []
        stages = [self.stage(number, stage, parts) for number, stage in enumerate(schedule.stages)]
        return {
            "input": self.program.planes[0],
            "output": self.program.planes[self.program.output],
            "segments": list(schedule.segments),
            "plane_count": len(order),
            "stage_count": len(stages),
            "window_rows": schedule.window_rows,
            "uses": self.uses(),
            "arrays": self.arrays,
            "layers": self.layers,
            "planes": [self.plane(number) for number in order],
            "stage_parts": parts,
            "stages": stages,
            "patches": _place(schedule.patches),
            "corrections": _place(schedule.corrections),
            "scratch": [_place(place) for place in schedule.scratch],
            "output_plane": self.rings[self.program.output],
        }

    def uses(self) -> dict[str, bool]:
        """The kernels that the network needs, by the names that they ask for."""
        layers = self.program.layers
        kinds = {layer.kind for layer in layers}
        depthwise = [layer for layer in layers if layer.kind == "depthwise"]
        forms = {("depthwise" if layer.kind == "depthwise" else "pointwise", _form(layer)) for layer in layers}
        return {
            **{f"{kind}_{form}": (kind, form) in forms for kind in ("pointwise", "depthwise") for form in FORMS},
            "depthwise_other_windows": any(
                layer.window.kernel != (3, 3) or layer.window.stride[1] > 2 for layer in depthwise
            ),
            "pool": not kinds.isdisjoint(("average_pool", "max_pool")),
            **{kind: kind in kinds for kind in ("convolution", "add", "softmax")},
        }

    def add_layer(self, number: int, layer: Layer) -> None:
        """The constants and the parameters of a layer."""
        emitters: dict[str, Callable[[int, Layer], str]] = {
            "pointwise": self.pointwise,
            "convolution": self.convolution,
            "depthwise": self.depthwise,
            "average_pool": partial(self.pool, is_average=True),
            "max_pool": partial(self.pool, is_average=False),
            "mean": self.mean,
            "add": self.addition,
            "softmax": self.softmax,
        }
        if layer.kind in emitters:
            self.layers += [f"// {_comment(layer.name)}", emitters[layer.kind](number, layer)]

    def array(self, kind: str, name: str, values: np.ndarray) -> None:
        self.constant_bytes += values.nbytes
        self.arrays.append(f"alignas(4) constexpr {kind} {name}[] = {{\n{wrapped(values)}\n}};")

    def pointwise(self, number: int, layer: Layer) -> str:
        weights = _convolution(layer).weights.reshape(len(_convolution(layer).weights), -1)
        return f"constexpr Pointwise layer_{number} = {self.product(number, layer, weights)};"

    def product(self, number: int, layer: Layer, weights: np.ndarray) -> str:
        """Weights (out, in) as blocks of output channels [block][in][4]."""
        outputs, inputs = weights.shape
        padded = np.zeros((-(-outputs // BLOCK_CHANNELS) * BLOCK_CHANNELS, inputs), np.int8)
        padded[:outputs] = weights
        blocks = padded.reshape(-1, BLOCK_CHANNELS, inputs).transpose(0, 2, 1)
        self.constant_bytes += blocks.nbytes
        self.arrays.append(
            f"alignas(4) constexpr Weights<{blocks.size}> weights_{number} = stored<{blocks.size}>({{\n"
            f"{wrapped(blocks)}\n}});"
        )
        return f"{{weights_{number}.values, {self.requantization(number, layer)}, {inputs}, {outputs}}}"

    def convolution(self, number: int, layer: Layer) -> str:
        weights = _convolution(layer).weights.transpose(0, 1, 3, 2)  # (out, rows, in, columns)
        outputs, rows, channels, columns = weights.shape
        product = self.product(number, layer, weights.reshape(outputs, -1))
        strip = strip_pixels(self.program, layer)
        return (
            f"constexpr Convolution layer_{number} = "
            f"{{{product}, {channels}, {rows}, {columns}, {layer.window.stride[1]}, {strip}}};"
        )

    def depthwise(self, number: int, layer: Layer) -> str:
        weights = _convolution(layer).weights  # (rows, columns, out)
        rows, columns, outputs = weights.shape
        self.array("Tap", f"weights_{number}", weights.transpose(2, 0, 1))
        multiplier = outputs // self.program.planes[layer.sources[0]].channels
        return (
            f"constexpr Depthwise layer_{number} = {{weights_{number}, {self.requantization(number, layer)}, "
            f"{rows}, {columns}, {layer.window.stride[1]}, {multiplier}}};"
        )

    def requantization(self, number: int, layer: Layer) -> str:
        exact, fast = _convolution(layer).exact, _convolution(layer).fast
        self.array("int32_t", f"constants_{number}", requantization_constants(exact, fast))
        shift, post = (0, 0) if fast is None else (fast.shift, fast.post)
        fields = (shift, post, exact.zero_point, exact.low, exact.high)
        return f"{{constants_{number}, Form::{_form(layer)}, {', '.join(map(str, fields))}}}"

    def pool(self, number: int, layer: Layer, is_average: bool) -> str:
        (rows, columns), width = layer.window.kernel, self.program.planes[layer.sources[0]].width
        fields = (rows, columns, layer.window.stride[1], layer.window.left, width, layer.low, layer.high)
        return f"constexpr Pool layer_{number} = {{{', '.join(map(str, fields))}, {str(is_average).lower()}}};"

    def mean(self, number: int, layer: Layer) -> str:
        mean, plane = layer.parameters, self.program.planes[layer.sources[0]]
        assert isinstance(mean, Mean)
        return (
            f"constexpr Mean layer_{number} = {{{mean.multiplier.mantissa}, {plane.height * plane.width}, "
            f"{mean.multiplier.exponent}, {mean.source_zero}, {mean.target_zero}}};"
        )

    def addition(self, number: int, layer: Layer) -> str:
        addition = layer.parameters
        assert isinstance(addition, Addition)
        exact, fast = addition.exact, addition.fast
        parts = [exact.scaling.first, exact.scaling.second, exact.scaling.total]
        weights = [0, 0] if fast is None else [fast.first, fast.second]
        zeros = [exact.first_zero, exact.second_zero]
        if self.is_swapped(layer):  # what flows through the stage comes first
            parts[:2], weights, zeros = parts[1::-1], weights[::-1], zeros[::-1]
        offset, shift = (0, 0) if fast is None else (fast.offset, fast.shift)
        return (
            f"constexpr Addition layer_{number} = {{{weights[0]}, {weights[1]}, {offset}, {shift}, "
            f"{str(fast is None).lower()}, {zeros[0]}, {zeros[1]}, {exact.zero_point}, {exact.low}, {exact.high}, "
            f"{{{', '.join(str(part.mantissa) for part in parts)}}}, "
            f"{{{', '.join(str(part.exponent) for part in parts)}}}}};"
        )

    def is_swapped(self, layer: Layer) -> bool:
        for stage in self.schedule.stages:
            for number, step in enumerate(stage.steps):
                if step is layer:
                    return stage.residual(number) == layer.sources[0] != layer.sources[1]
        raise ValueError(f"{layer.name} is in no stage")

    def softmax(self, number: int, layer: Layer) -> str:
        scaling = layer.parameters
        assert isinstance(scaling, SoftmaxScaling)
        return (
            f"constexpr Softmax layer_{number} = {{{scaling.multiplier.mantissa}, {scaling.least_difference}, "
            f"{max(scaling.multiplier.exponent, 0)}}};"
        )

    def plane(self, number: int) -> str:
        plane, buffer = self.program.planes[number], self.schedule.buffers[number]
        fields = (plane.height, plane.width, plane.channels, buffer.pitch, buffer.left, buffer.rows, buffer.pad)
        return f"{{{_place(buffer.place)}, {', '.join(map(str, fields))}}}"

    def stage(self, number: int, stage: Stage, parts: list[str]) -> str:
        row_layers = ([stage.window] if stage.window is not None else []) + stage.steps
        into = dict(zip(map(id, row_layers), places(stage), strict=True))
        head = "nullptr"
        if stage.head is not None:
            head = f"&head_{number}"
            parts.append(f"constexpr Head head_{number} = {self.head(number, stage)};")
        steps = "nullptr"
        if stage.steps:
            steps = f"steps_{number}"
            rows = [self.step(step, into[id(step)], stage.residual(place)) for place, step in enumerate(stage.steps)]
            parts.append(f"constexpr Step steps_{number}[] = {{\n    " + ",\n    ".join(rows) + ",\n};")
        window = "{nullptr, 0, 0, 0, Operation::none, Into::target}"
        if stage.window is not None:
            window = self.step(stage.window, into[id(stage.window)], None)
        sums = _place(self.schedule.sums.get(number, Place(0, 0, 0)))
        target, geometry = self.program.planes[stage.target], stage.geometry
        fields = (
            *(len(stage.steps), self.rings[stage.source], self.rings[stage.target], stage.first, target.height),
            *(geometry.kernel[0], geometry.stride[0], geometry.top, geometry.left),
            *(stage.carried, stage.fresh, target.width),
        )
        return f"{{{head}, {window}, {steps}, {sums}, {', '.join(map(str, fields))}}}"

    def step(self, layer: Layer, into: str, residual: int | None) -> str:
        number = self.numbers[id(layer)]
        operation = "pool" if layer.kind.endswith("_pool") else layer.kind
        parameters = "nullptr" if operation == "copy" else f"&layer_{number}"
        channels = self.program.planes[layer.target].channels
        plane = 0 if residual is None else self.rings[residual]
        return f"{{{parameters}, {channels}, {layer.target}, {plane}, Operation::{operation}, Into::{into}}}"

    def head(self, number: int, stage: Stage) -> str:
        assert stage.head is not None
        chunks = self.schedule.chunks[number]
        fields = (stage.head.target, chunks.pitch, chunks.groups, chunks.positions, stage.kept)
        pad = self.program.planes[stage.head.target].zero
        layer = self.numbers[id(stage.head)]
        return f"{{&layer_{layer}, {_place(chunks.place)}, {', '.join(map(str, fields))}, {pad}}}"


def requantization_constants(exact: ExactRequantization, fast: FastRequantization | None) -> np.ndarray:
    """(channels, constants) int32 as the forms in kernels/requantize.h read them, zeros to the end of a block."""
    if fast is None:
        columns = [exact.bias, exact.mantissa, exact.exponent]
    elif fast.zero is None or fast.below is None:
        columns = [fast.offset, fast.factor]
    else:
        columns = [fast.offset, fast.factor, fast.zero, -fast.below]
    # offsets are added modulo 2^32
    return np.stack(columns, axis=1).astype(np.int64).astype(np.uint32).view(np.int32)


def _form(layer: Layer) -> str | None:
    """How a layer's sums become bytes; None for layers without weights."""
    if not isinstance(layer.parameters, Convolution):
        return None
    fast = layer.parameters.fast
    return "exact" if fast is None else "rising" if fast.below is None else "two_sided"


def _convolution(layer: Layer) -> Convolution:
    assert isinstance(layer.parameters, Convolution)
    return layer.parameters


def _comment(text: str) -> str:
    """A tensor's name as it may stand in a comment: it can hold anything, a backslash at its end included."""
    return "".join(character if character.isalnum() or character in " _./;:-" else "?" for character in text)


def _place(place: Place) -> str:
    return f"{{{place.offset}, {place.segment}}}"


def wrapped(values: np.ndarray) -> str:
    """Whole numbers as C++ reads them in lines of an even length."""
    lines, line = [], "   "
    for value in values.ravel().tolist():
        # the most negative number has no literal of its own in C++
        text = f" {value}," if value != -(2**31) else " INT32_MIN,"
        if len(line) + len(text) > LINE_CHARACTERS:
            lines.append(line)
            line = "   "
        line += text
    return "\n".join([*lines, line])
