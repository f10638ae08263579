"""Fast requantization: searches at compile time for a form that is proven equal to TensorFlow Lite Micro's.

The exact formula takes a 64-bit product and two roundings for every output. The fast form is

    v = multiply_high((a << shift) + offset, factor) >> post        clamped to 0..255

Both never decrease as the accumulator a grows. They are therefore equal if they reach every output value at the same
accumulator. There are at most 255 such thresholds, and each bounds the offset from both sides. The search intersects
these bounds over all accumulators that a layer can reach. A non-empty interval proves that both forms are equal.
Negative values (accumulator + bias) round the other way. A layer with outputs of both signs gets a second offset for
them.

Bytes are unsigned here: u = int8 + 128. The accumulator a is the sum of weight * u, without bias and zero points.
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

# stands for the absence of a bound
FAR = 1 << 40

# changes to the rounded factor that the search tries; real networks needed at most 3
FACTOR_NUDGES = (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6)
LARGEST_SHIFT = 14
SHIFTS_TRIED = 3
# the largest post shift that is searched: threshold * 2^(32 + post) must fit in 63 bits
LARGEST_POST = 22
# the larger shift is more precise; the smaller ones serve additions whose sums would overflow 32 bits
ADD_SHIFTS = (22, 21, 20)
ADD_NUDGES = 14


@dataclass(frozen=True)
class ExactRequantization:
    """The definition of one layer's outputs. All arrays are (channels,) int64.

    out = clamp(requantize(a + bias, multiplier) + zero_point, low, high), in unsigned bytes.
    """

    bias: np.ndarray
    """The layer's bias, with the input's zero point included: bias - (input zero point + 128) * sum of weights."""
    mantissa: np.ndarray
    exponent: np.ndarray
    zero_point: int
    low: int
    high: int
    least: np.ndarray
    """The smallest accumulator that bytes 0..255 can reach with a channel's weights."""
    greatest: np.ndarray
    """The largest one."""

    def __call__(self, accumulators: np.ndarray) -> np.ndarray:
        """Requantizes (..., channels) accumulators to bytes."""
        return np.clip(self.unclamped(accumulators), self.low, self.high)

    def unclamped(self, accumulators: np.ndarray) -> np.ndarray:
        """The same without the clamp."""
        values = accumulators + self.bias
        result = np.empty_like(values)
        for exponent in np.unique(self.exponent):
            chosen = self.exponent == exponent
            multiplier = Multiplier(self.mantissa[chosen], int(exponent))
            result[..., chosen] = requantize(values[..., chosen], multiplier)
        return result + self.zero_point


@dataclass(frozen=True)
class FastRequantization:
    """The fast form of one layer: two shifts, and an offset and a factor for every channel.

    (a << shift) + offset fits in 32 bits. The two summands may not, so a processor adds modulo 2^32.

    If `below` is given, accumulators less than `zero` take the offset `offset - below`.
    """

    shift: int
    post: int
    offset: np.ndarray
    factor: np.ndarray
    zero: np.ndarray | None
    below: np.ndarray | None

    def __call__(self, accumulators: np.ndarray) -> np.ndarray:
        """Requantizes (..., channels) accumulators to bytes, as the board does."""
        sums = (accumulators << self.shift) + self.offset
        if self.zero is not None and self.below is not None:
            sums = sums - np.where(accumulators < self.zero, self.below, 0)
        return np.clip((sums * self.factor) >> 32 >> self.post, 0, 255)


def normalize_constant_channels(exact: ExactRequantization) -> ExactRequantization:
    """Gives channels with a constant output the multiplier of another channel, and a bias that keeps the output.

    Training leaves channels whose weights are all zero. Converters give them extreme scales and biases, with which the
    search would find no shifts that suit all channels. Returns the layer unchanged if an output would change.
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
    """The proven fast form of a layer. None if there is none, so that the layer must use the exact form."""
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
    """The largest left shift with which every reachable sum fits in 32 bits. The summands may overflow."""
    # the offset is about the bias, the zero point and half an output step for rounding, in units of the accumulator
    offset = exact.bias + (exact.zero_point + 0.5) / real_factors
    reach = max(float(np.abs(end + offset).max()) for end in (exact.least, exact.greatest)) + 2
    return min(LARGEST_SHIFT, int(np.floor(31 - np.log2(reach))))


def _thresholds(exact: ExactRequantization, real_factors: np.ndarray) -> np.ndarray:
    """T[t - 1, c]: the smallest accumulator whose output is at least t, for t = 1..255."""
    targets = np.arange(1, 256)[:, None]
    estimate = np.floor((targets - 0.5 - exact.zero_point) / real_factors).astype(np.int64) - exact.bias
    # double rounding moves a threshold by less than the accumulators of one output value: bisect within that margin
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
    """The lowest and highest offset, for accumulators of at least `zero` and for smaller ones.

    v >= t exactly if (a << shift) + offset >= ceil(t * 2^(32 + post) / factor). This must be true at the threshold and
    false one below it, if the layer can reach these accumulators.
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
    """An offset within bounds: the middle, or the only bound that exists."""
    middle = np.where(low == -FAR, high, np.where(high == FAR, low, (low + high) >> 1))
    return np.where((low == -FAR) & (high == FAR), 0, middle)


def _tightened(bounds: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Gives a side without thresholds the bounds of the other side, because extreme offsets would overflow."""
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
    """ADD of two bytes with one shift: (first * x + second * y + offset) >> shift, clamped to 0..255."""

    first: int
    second: int
    offset: int
    shift: int

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Adds bytes to bytes, as the board does."""
        return np.clip((self.first * x + self.second * y + self.offset) >> self.shift, 0, 255)


@dataclass(frozen=True)
class ExactAdd:
    """The definition of ADD. Zero points and limits are unsigned bytes."""

    scaling: AddScaling
    first_zero: int
    second_zero: int
    zero_point: int
    low: int
    high: int

    def __call__(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Adds bytes to bytes."""
        total = add(x.astype(np.int64) - self.first_zero, y.astype(np.int64) - self.second_zero, self.scaling)
        return np.clip(total + self.zero_point, self.low, self.high)


def search_add(exact: ExactAdd) -> FastAdd | None:
    """A fast form that is equal for all 65,536 pairs of bytes, or None."""
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
    """Pairs of factors near the given one, the nearest first."""
    steps = range(-ADD_NUDGES, ADD_NUDGES + 1)
    offsets = sorted(((a, b) for a in steps for b in steps), key=lambda pair: (max(map(abs, pair)), pair))
    return [(first + a, second + b) for a, b in offsets if first + a > 0 and second + b > 0]
