"""Fast requantization that is exactly equal to TensorFlow Lite Micro's, searched and proven at compile time.

The exact formula takes a 64-bit product and two roundings for every output. Both it and the fast form

    v = mulhigh((a << shift) + offset, factor) >> post        clamped to 0..255

only ever step upwards with the accumulator a, so they are equal when they step at the same places: at most 255
thresholds, each of which bounds the offset from both sides. The search intersects those bounds over every
accumulator that a layer can reach; a non-empty interval is the proof. Negative accumulators round the other way:
where outputs come from both signs, a second offset serves the accumulators below zero.

Bytes are unsigned here: u = int8 + 128. a is the sum of weight * u without bias or zero points.
"""

from dataclasses import dataclass, replace

import numpy as np

from esp32_deploy.compile.arithmetic import (
    ADD_LEFT_SHIFT,
    INT32_MAX,
    INT32_MIN,
    AddScaling,
    Multiplier,
    add,
    requantize,
)

# no bound at all
FAR = 1 << 40

# the factor's rounding is sometimes a little off for all 255 thresholds at once; the largest change seen is 3
FACTOR_NUDGES = (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6)
LARGEST_SHIFT = 14
SHIFTS_TRIED = 3
# thresholds of a steeper multiplier than this are not searched: t * 2^(32 + post) must fit in 63 bits
LARGEST_POST = 22
# finer weights first; the coarser are for outputs whose sums would leave 32 bits
ADD_SHIFTS = (22, 21, 20)
ADD_NUDGES = 14


@dataclass(frozen=True)
class ExactRequantization:
    """What one layer's outputs are by definition, all arrays (channels,) int64.

    out = clamp(requantize(a + bias, multiplier) + zero_point, low, high), in unsigned bytes.
    """

    bias: np.ndarray
    """Bias with the input's zero point folded in: bias - (input zero point + 128) * sum of weights."""
    mantissa: np.ndarray
    exponent: np.ndarray
    zero_point: int
    low: int
    high: int
    least: np.ndarray
    """The smallest accumulator that bytes 0..255 can reach with a channel's weights."""
    greatest: np.ndarray

    def __call__(self, accumulators: np.ndarray) -> np.ndarray:
        """(..., channels) accumulators to bytes."""
        return np.clip(self.unclamped(accumulators), self.low, self.high)

    def unclamped(self, accumulators: np.ndarray) -> np.ndarray:
        """The same before the clamp."""
        values = accumulators + self.bias
        result = np.empty_like(values)
        for exponent in np.unique(self.exponent):
            chosen = self.exponent == exponent
            multiplier = Multiplier(self.mantissa[chosen], int(exponent))
            result[..., chosen] = requantize(values[..., chosen], multiplier)
        return result + self.zero_point


@dataclass(frozen=True)
class FastRequantization:
    """The fast form of one layer: two constants, and for every channel offset and factor.

    Sums fit 32 bits; their summands need not, so that a processor adds modulo 2^32.

    Where `below` is given, accumulators under `zero` take offset - below instead.
    """

    shift: int
    post: int
    offset: np.ndarray
    factor: np.ndarray
    zero: np.ndarray | None
    below: np.ndarray | None

    def __call__(self, accumulators: np.ndarray) -> np.ndarray:
        """(..., channels) accumulators to bytes, as the board computes them."""
        sums = (accumulators << self.shift) + self.offset
        if self.zero is not None and self.below is not None:
            sums = sums - np.where(accumulators < self.zero, self.below, 0)
        return np.clip((sums * self.factor) >> 32 >> self.post, 0, 255)


def settled(exact: ExactRequantization) -> ExactRequantization:
    """The same outputs, with channels that never change made like the others.

    Training leaves channels without weights, and converters give them scales and biases that are millions of times
    off: constants for all channels together would not be found.
    """
    is_constant = exact.least == exact.greatest
    if is_constant.all() or not is_constant.any():
        return exact
    real_factors = np.where(is_constant, 0, exact.mantissa * 2.0 ** (exact.exponent - 31.0))
    example = int(real_factors.argmax())
    if real_factors[example] == 0:
        return exact
    outputs = exact(exact.least)
    bias = np.rint((outputs - exact.zero_point) / real_factors[example]).astype(np.int64) - exact.least
    same = replace(
        exact,
        bias=np.where(is_constant, bias, exact.bias),
        mantissa=np.where(is_constant, exact.mantissa[example], exact.mantissa),
        exponent=np.where(is_constant, exact.exponent[example], exact.exponent),
    )
    return same if np.array_equal(same(exact.least), outputs) else exact


def search(exact: ExactRequantization) -> FastRequantization | None:
    """The proven fast form of a layer, or None when there is none and the exact form must run."""
    if (exact.low, exact.high) != (0, 255) or not exact.mantissa.all():
        return None
    real_factors = exact.mantissa * 2.0 ** (exact.exponent - 31.0)
    thresholds = _thresholds(exact, real_factors)
    largest = _largest_shift(exact, real_factors)
    for sides in (1, 2):
        for shift in range(largest, max(largest - SHIFTS_TRIED, -1), -1):
            post = shift + int(np.floor(-1 - np.log2(real_factors.max())))
            if 0 <= post <= LARGEST_POST:
                found = _search_offsets(exact, thresholds, real_factors, shift, post, sides)
                if found is not None:
                    return found
    return None


def _largest_shift(exact: ExactRequantization, real_factors: np.ndarray) -> int:
    """The most left shift that keeps every reachable sum within 32 bits; summands may wrap on the way."""
    # the offset is about the bias, the zero point and half an output step for rounding, in accumulator steps
    offset = exact.bias + (exact.zero_point + 0.5) / real_factors
    reach = max(float(np.abs(end + offset).max()) for end in (exact.least, exact.greatest)) + 2
    return min(LARGEST_SHIFT, int(np.floor(31 - np.log2(reach))))


def _thresholds(exact: ExactRequantization, real_factors: np.ndarray) -> np.ndarray:
    """T[t - 1, c]: the least accumulator whose output is at least t, for t = 1..255."""
    targets = np.arange(1, 256)[:, None]
    estimate = np.floor((targets - 0.5 - exact.zero_point) / real_factors).astype(np.int64) - exact.bias
    # double rounding moves a step by less than one output's width of accumulators; bisect within a wide bracket
    margin = 4 + np.ceil(1 / real_factors).astype(np.int64)
    below, above = estimate - margin, estimate + margin
    while np.any(above - below > 1):
        middle = (below + above) >> 1
        reached = exact.unclamped(middle) >= targets
        below, above = np.where(reached, below, middle), np.where(reached, middle, above)
    return above


def _search_offsets(
    exact: ExactRequantization, thresholds: np.ndarray, real_factors: np.ndarray, shift: int, post: int, sides: int
) -> FastRequantization | None:
    channels = len(exact.bias)
    nominal = np.rint(real_factors * 2.0 ** (32 + post - shift)).astype(np.int64)
    zero = -exact.bias if sides == 2 else np.full(channels, INT32_MIN)
    factor, offset, negative = (np.zeros(channels, np.int64) for _ in range(3))
    open_channels = np.ones(channels, bool)
    for nudge in FACTOR_NUDGES:
        candidate = nominal + nudge
        fits = candidate <= INT32_MAX
        bounds = _offset_bounds(exact, thresholds, candidate, zero, shift, post)
        for low, high in bounds:
            fits &= low <= high
        chosen = open_channels & fits
        factor[chosen] = candidate[chosen]
        offset[chosen], negative[chosen] = (_between(low, high)[chosen] for low, high in bounds)
        open_channels &= ~fits
        if not open_channels.any():
            break
    if open_channels.any():
        return None
    fast = FastRequantization(shift, post, offset, factor, *((zero, offset - negative) if sides == 2 else (None, None)))
    return fast if _stays_in_32_bits(exact, fast) else None


def _offset_bounds(
    exact: ExactRequantization,
    thresholds: np.ndarray,
    factor: np.ndarray,
    zero: np.ndarray,
    shift: int,
    post: int,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Lowest and highest offset for accumulators from `zero` on, then for those below.

    v >= t exactly when (a << shift) + offset >= ceil(t * 2^(32 + post) / factor): that must hold at the threshold
    and fail one below it, as far as either can be reached.
    """
    targets = np.arange(1, 256, dtype=np.int64)[:, None]
    needed = -((-targets << (32 + post)) // factor)
    first = np.maximum(thresholds, exact.least)
    last = np.minimum(thresholds - 1, exact.greatest)
    at_least = needed - (first << shift)
    at_most = needed - (last << shift) - 1
    bounds = []
    for is_side_first, is_side_last in ((first >= zero, last >= zero), (first < zero, last < zero)):
        low = np.where(is_side_first & (first <= exact.greatest), at_least, -FAR).max(axis=0)
        high = np.where(is_side_last & (last >= exact.least), at_most, FAR).min(axis=0)
        bounds.append((low, high))
    return _tightened(bounds)


def _between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """An offset within bounds: the middle, or the only bound there is."""
    middle = np.where(low == -FAR, high, np.where(high == FAR, low, (low + high) >> 1))
    return np.where((low == -FAR) & (high == FAR), 0, middle)


def _tightened(bounds: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """A side without thresholds is free: it takes the other side's offsets, so that none is extreme."""
    (low, high), (low_below, high_below) = bounds
    free = (low == -FAR) & (high == FAR)
    free_below = (low_below == -FAR) & (high_below == FAR)
    return [
        (np.where(free, low_below, low), np.where(free, high_below, high)),
        (np.where(free_below, low, low_below), np.where(free_below, high, high_below)),
    ]


def _stays_in_32_bits(exact: ExactRequantization, fast: FastRequantization) -> bool:
    offsets = [fast.offset] if fast.below is None else [fast.offset, fast.offset - fast.below]
    ends = [(end << fast.shift) + offset for end in (exact.least, exact.greatest) for offset in offsets]
    return all(int(sums.min()) >= INT32_MIN and int(sums.max()) <= INT32_MAX for sums in ends)


@dataclass(frozen=True)
class FastAdd:
    """ADD of two bytes in one shift: (first * x + second * y + offset) >> shift, clamped to 0..255."""

    first: int
    second: int
    offset: int
    shift: int

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Bytes in, bytes out, as the board computes them."""
        return np.clip((self.first * x + self.second * y + self.offset) >> self.shift, 0, 255)


@dataclass(frozen=True)
class ExactAdd:
    """What ADD gives by definition; zero points and limits are those of unsigned bytes."""

    scaling: AddScaling
    first_zero: int
    second_zero: int
    zero_point: int
    low: int
    high: int

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Bytes in, bytes out."""
        total = add(x.astype(np.int64) - self.first_zero, y.astype(np.int64) - self.second_zero, self.scaling)
        return np.clip(total + self.zero_point, self.low, self.high)


def search_add(exact: ExactAdd) -> FastAdd | None:
    """A fast form that agrees on all 65,536 pairs of bytes, or None."""
    if (exact.low, exact.high) != (0, 255):
        return None
    x, y = (grid.ravel() for grid in np.meshgrid(np.arange(256), np.arange(256), indexing="ij"))
    wanted = exact(x, y)
    total = exact.scaling.total
    gain = total.mantissa * 2.0 ** (total.exponent - 31 + ADD_LEFT_SHIFT)
    factors = [
        part.mantissa * 2.0 ** (part.exponent - 31) * gain for part in (exact.scaling.first, exact.scaling.second)
    ]
    for shift in ADD_SHIFTS:
        floor = np.where(wanted > 0, wanted << shift, -FAR)
        ceiling = np.where(wanted < 255, ((wanted + 1) << shift) - 1, FAR)
        for first, second in _nearby(*(round(factor * 2**shift) for factor in factors)):
            sums = first * x + second * y
            low, high = int((floor - sums).max()), int((ceiling - sums).min())
            offset = (low + high) >> 1
            if offset < INT32_MIN or (first + second) * 255 + offset > INT32_MAX:
                break
            if low <= high:
                return FastAdd(first, second, offset, shift)
    return None


def _nearby(first: int, second: int) -> list[tuple[int, int]]:
    """Pairs around the nominal one, nearest first."""
    steps = range(-ADD_NUDGES, ADD_NUDGES + 1)
    offsets = sorted(((a, b) for a in steps for b in steps), key=lambda pair: (max(map(abs, pair)), pair))
    return [(first + a, second + b) for a, b in offsets if first + a > 0 and second + b > 0]
