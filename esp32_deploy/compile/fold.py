"""Drops operators that only compute the shape which a RESHAPE reads, because the file states the shape of its output.

Converters write such operators (SHAPE, STRIDED_SLICE, PACK) for a model whose batch has no fixed size.
"""

from dataclasses import replace

from esp32_deploy.compile.graph import Graph, Operator, Tensor

SHAPE_TYPES = ("INT32", "INT64")


def without_shape_arithmetic(graph: Graph) -> Graph:
    """The graph without operators that compute integers which only a RESHAPE reads, as its shape.

    Operators that nothing reads are kept if they compute other types, so that they are still checked.
    """
    needed = {tensor.index for tensor in graph.outputs}
    kept: list[Operator] = []
    for operator in reversed(graph.operators):
        is_shape = all(tensor.type in SHAPE_TYPES for tensor in operator.outputs)
        if is_shape and not any(tensor.index in needed for tensor in operator.outputs):
            continue
        kept.append(operator)
        needed |= {tensor.index for tensor in _data(operator)}
    return replace(graph, operators=tuple(reversed(kept)))


def _data(operator: Operator) -> list[Tensor]:
    inputs = operator.inputs[:1] if operator.name == "RESHAPE" else operator.inputs
    return [tensor for tensor in inputs if tensor is not None]
