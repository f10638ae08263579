"""Writes a program and its schedule as C++: constants, tables and kernels, all in the library's namespace.

Weights are reordered for the inner loops of the kernels. Requantization constants contain zero points and biases.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from esp32_deploy.compile.arithmetic import SoftmaxScaling
from esp32_deploy.compile.lower import Addition, Convolution, Layer, Mean, Table
from esp32_deploy.compile.requantize import ExactRequantization, FastRequantization
from esp32_deploy.compile.schedule import Schedule, strip_pixels
from esp32_deploy.compile.tables import LINE_CHARACTERS, initializer, tables, wrapped_code

HERE = Path(__file__).resolve().parents[1]
KERNELS = "kernels"
KERNEL_NAMESPACE = "esp32_deploy"

BLOCK_CHANNELS = 4
"""Output channels of a block of weights; as in kernels/pointwise.h."""
FORMS = ("rising", "two_sided", "exact")
"""Forms of requantization; as in kernels/requantize.h."""

NETWORK_KERNELS = ("convolution", "depthwise", "elementwise", "pointwise", "pool", "requantize", "softmax", "stream")
"""Kernels of a streamed network. The other kernels read frames and decode outputs."""
LAYERS_KERNEL = "layers"
"""The kernel for networks whose last stages run layer by layer."""


@dataclass(frozen=True)
class Source:
    """The source files of a model, by their path in the library's src folder."""

    files: dict[str, str]
    constant_bytes: int


def emit(schedule: Schedule, name: str, file_bytes: int, title: str) -> Source:
    """C++ for a schedule. `name` is the namespace and the prefix of file names; `title` is the first comment."""
    emitter = _Emitter(schedule)
    for layer in schedule.program.layers:
        emitter.add_layer(layer)
    values = emitter.values() | {"name": name, "kernels": KERNELS, "file_bytes": file_bytes, "title": title}
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), undefined=StrictUndefined, keep_trailing_newline=True
    )
    files = {
        f"{name}_model.{kind}": environment.get_template(f"model.{kind}.j2").render(values) for kind in ("h", "cpp")
    }
    kernels = (*NETWORK_KERNELS, LAYERS_KERNEL) if values["passes"] else NETWORK_KERNELS
    return Source(files | kernel_files(kernels, name), emitter.constant_bytes)


def kernel_files(kernels: Iterable[str], name: str) -> dict[str, str]:
    """Headers of the given kernels in the namespace `name`, by their path in the library's src folder."""
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

    def values(self) -> dict[str, Any]:
        """Values for the templates."""
        phases = tables(self.schedule)
        return {
            "input": self.program.planes[0],
            "output": self.program.planes[self.program.output],
            "segments": list(self.schedule.segments),
            "plane_count": max(len(phase.planes) for phase in phases),
            "stage_count": max(len(phase.stages) for phase in phases),
            "window_rows": self.schedule.window_rows,
            "uses": self.uses(),
            "arrays": self.arrays,
            "layers": self.layers,
            "tables": phases,
            "network": wrapped_code(f"constexpr Network network = {phases[0].network};"),
            "passes": [wrapped_code(f"    {phase.network},") for phase in phases[1:]],
        }

    def uses(self) -> dict[str, bool]:
        """Whether the network needs each kernel feature, by the names in the kernels' `Uses`."""
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
            **{kind: kind in kinds for kind in ("convolution", "add", "table", "softmax")},
        }

    def add_layer(self, layer: Layer) -> None:
        """Adds the constants and the parameters of a layer."""
        emitters: dict[str, tuple[str, Callable[[Layer], str]]] = {
            "pointwise": ("Pointwise", self.pointwise),
            "convolution": ("Convolution", self.convolution),
            "depthwise": ("Depthwise", self.depthwise),
            "average_pool": ("Pool", partial(self.pool, is_average=True)),
            "max_pool": ("Pool", partial(self.pool, is_average=False)),
            "mean": ("Mean", self.mean),
            "add": ("Addition", self.addition),
            "table": ("Table", self.table),
            "softmax": ("Softmax", self.softmax),
        }
        if layer.kind in emitters:
            type_name, emitter = emitters[layer.kind]
            code = f"constexpr {type_name} layer_{layer.number} = {emitter(layer)};"
            self.layers += [f"// {_comment(layer.name)}", wrapped_code(code)]

    def array(self, kind: str, name: str, values: np.ndarray) -> None:
        self.constant_bytes += values.nbytes
        self.arrays.append(f"alignas(4) constexpr {kind} {name}[] = {{\n{wrapped(values)}\n}};")

    def pointwise(self, layer: Layer) -> str:
        weights = _convolution(layer).weights
        return self.product(layer, weights.reshape(len(weights), -1))

    def product(self, layer: Layer, weights: np.ndarray) -> str:
        """A Pointwise for weights (out, in), stored in blocks of output channels [block][in][4]."""
        outputs, inputs = weights.shape
        padded = np.zeros((-(-outputs // BLOCK_CHANNELS) * BLOCK_CHANNELS, inputs), np.int8)
        padded[:outputs] = weights
        blocks = padded.reshape(-1, BLOCK_CHANNELS, inputs).transpose(0, 2, 1)
        self.constant_bytes += blocks.nbytes
        name = f"weights_{layer.number}"
        self.arrays.append(
            f"alignas(4) constexpr Weights<{blocks.size}> {name} = stored<{blocks.size}>({{\n{wrapped(blocks)}\n}});"
        )
        requantization = self.requantization(layer)
        return initializer(weights=f"{name}.values", requantization=requantization, inputs=inputs, outputs=outputs)

    def convolution(self, layer: Layer) -> str:
        weights = _convolution(layer).weights.transpose(0, 1, 3, 2)  # (out, rows, in, columns)
        outputs, rows, channels, columns = weights.shape
        return initializer(
            product=self.product(layer, weights.reshape(outputs, -1)),
            channels=channels,
            kernel_rows=rows,
            kernel_columns=columns,
            stride=layer.window.stride[1],
            strip=strip_pixels(self.program, layer),
        )

    def depthwise(self, layer: Layer) -> str:
        weights = _convolution(layer).weights  # (rows, columns, out)
        rows, columns, outputs = weights.shape
        name = f"weights_{layer.number}"
        self.array("Tap", name, weights.transpose(2, 0, 1))
        return initializer(
            weights=name,
            requantization=self.requantization(layer),
            kernel_rows=rows,
            kernel_columns=columns,
            stride=layer.window.stride[1],
            multiplier=outputs // self.program.planes[layer.sources[0]].channels,
        )

    def requantization(self, layer: Layer) -> str:
        exact, fast = _convolution(layer).exact, _convolution(layer).fast
        name = f"constants_{layer.number}"
        self.array("int32_t", name, requantization_constants(exact, fast))
        return initializer(
            constants=name,
            form=f"Form::{_form(layer)}",
            shift=0 if fast is None else fast.shift,
            post=0 if fast is None else fast.post,
            zero=exact.zero_point,
            low=exact.low,
            high=exact.high,
        )

    def pool(self, layer: Layer, is_average: bool) -> str:
        rows, columns = layer.window.kernel
        return initializer(
            kernel_rows=rows,
            kernel_columns=columns,
            stride=layer.window.stride[1],
            left=layer.window.left,
            width=self.program.planes[layer.sources[0]].width,
            low=layer.low,
            high=layer.high,
            is_average=is_average,
        )

    def mean(self, layer: Layer) -> str:
        mean, plane = layer.parameters, self.program.planes[layer.sources[0]]
        assert isinstance(mean, Mean)
        return initializer(
            mantissa=mean.multiplier.mantissa,
            cells=plane.height * plane.width,
            exponent=mean.multiplier.exponent,
            source_zero=mean.source_zero,
            target_zero=mean.target_zero,
        )

    def addition(self, layer: Layer) -> str:
        addition = layer.parameters
        assert isinstance(addition, Addition)
        exact, fast = addition.exact, addition.fast
        parts = [exact.scaling.first, exact.scaling.second, exact.scaling.total]
        weights = [0, 0] if fast is None else [fast.first, fast.second]
        zeros = [exact.first_zero, exact.second_zero]
        if self.is_swapped(layer):  # the kernel expects the row of the stage first
            parts[:2], weights, zeros = parts[1::-1], weights[::-1], zeros[::-1]
        return initializer(
            first=weights[0],
            second=weights[1],
            offset=0 if fast is None else fast.offset,
            shift=0 if fast is None else fast.shift,
            is_exact=fast is None,
            first_zero=zeros[0],
            second_zero=zeros[1],
            zero=exact.zero_point,
            low=exact.low,
            high=exact.high,
            mantissas=f"{{{', '.join(str(part.mantissa) for part in parts)}}}",
            exponents=f"{{{', '.join(str(part.exponent) for part in parts)}}}",
        )

    def is_swapped(self, layer: Layer) -> bool:
        """Whether the first operand of an addition is the residual, not the row of the stage."""
        for stage in self.schedule.stages:
            for place, step in enumerate(stage.steps):
                if step.number == layer.number:
                    return stage.residual(place) == layer.sources[0] != layer.sources[1]
        raise ValueError(f"{layer.name} is in no stage")

    def table(self, layer: Layer) -> str:
        assert isinstance(layer.parameters, Table)
        name = f"table_{layer.number}"
        self.array("uint8_t", name, layer.parameters.values)
        return initializer(values=name)

    def softmax(self, layer: Layer) -> str:
        assert isinstance(layer.parameters, SoftmaxScaling)
        return softmax_parameters(layer.parameters)


def softmax_parameters(scaling: SoftmaxScaling) -> str:
    """The initializer of a Softmax, declared in kernels/softmax.h."""
    return initializer(
        mantissa=scaling.multiplier.mantissa,
        least_difference=scaling.least_difference,
        left_shift=max(scaling.multiplier.exponent, 0),
    )


def requantization_constants(exact: ExactRequantization, fast: FastRequantization | None) -> np.ndarray:
    """Constants (channels, constants) int32 for the forms in kernels/requantize.h."""
    if fast is None:
        columns = [exact.bias, exact.mantissa, exact.exponent]
    elif fast.zero is None or fast.below is None:
        columns = [fast.offset, fast.factor]
    else:
        columns = [fast.offset, fast.factor, fast.zero, -fast.below]
    # The kernels add offsets modulo 2^32.
    return np.stack(columns, axis=1).astype(np.int64).astype(np.uint32).view(np.int32)


def _form(layer: Layer) -> str | None:
    """The form of a layer's requantization; None for layers without weights."""
    if not isinstance(layer.parameters, Convolution):
        return None
    fast = layer.parameters.fast
    return "exact" if fast is None else "rising" if fast.below is None else "two_sided"


def _convolution(layer: Layer) -> Convolution:
    assert isinstance(layer.parameters, Convolution)
    return layer.parameters


def _comment(text: str) -> str:
    """A tensor's name, made safe for a C++ comment. A final backslash, for example, would continue the comment."""
    return "".join(character if character.isalnum() or character in " _./;:-" else "?" for character in text)


def wrapped(values: np.ndarray) -> str:
    """Integers as C++ literals, in lines of at most LINE_CHARACTERS."""
    lines, line = [], "   "
    for value in values.ravel().tolist():
        # C++ has no literal for the most negative number.
        text = f" {value}," if value != -(2**31) else " INT32_MIN,"
        if len(line) + len(text) > LINE_CHARACTERS:
            lines.append(line)
            line = "   "
        line += text
    return "\n".join([*lines, line])
