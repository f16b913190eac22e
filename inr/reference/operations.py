"""The operations of rendering (codec/FORMAT.md, "Rendering"). Features and pictures are float32 arrays (rows, columns, channels)."""

import numpy as np
from jaxtyping import Float, Int, UInt8

Features = Float[np.ndarray, "r c d"]
Picture = Float[np.ndarray, "h w 3"]
Grid = Float[np.ndarray, "n *rest"]

OPPONENT = np.array(
    [[0.57735026, 0.57735026, 0.57735026], [0.70710677, 0, -0.70710677], [-0.40824828, 0.81649658, -0.40824828]], np.float32
)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def gelu(x: np.ndarray) -> np.ndarray:
    """0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""
    return 0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x * x * x)))


def convolution(x: Features, kernel: Float[np.ndarray, "k k i o"], bias: Float[np.ndarray, " o"]) -> Features:
    """The convolution of `x`; its groups follow from the numbers of channels. Positions outside count as 0."""
    (rows, columns, channels), (size, _, group_size, outputs) = x.shape, kernel.shape
    groups, reach = channels // group_size, (size - 1) // 2
    around = np.pad(x, ((reach, reach), (reach, reach), (0, 0))) if reach else x
    out = np.empty((rows, columns, outputs), np.float32)
    out[:] = bias
    for row in range(size):
        for column in range(size):
            part, taps = around[row : row + rows, column : column + columns], kernel[row, column]
            if groups == 1:
                out += part @ taps
            elif group_size == 1 and groups == outputs:
                out += part * taps[0]
            else:
                split = part.reshape(rows, columns, groups, group_size)
                by_group = taps.reshape(group_size, groups, outputs // groups)
                out += np.einsum("rcgi,igo->rcgo", split, by_group).reshape(out.shape)
    return out


def depth_to_space(x: Features, stride: int) -> Features:
    """`stride` x `stride` positions for each one of `x`, whose channels they share out."""
    rows, columns, channels = x.shape
    x = x.reshape(rows, columns, stride, stride, channels // stride**2).transpose(0, 2, 1, 3, 4)
    return x.reshape(rows * stride, columns * stride, -1)


def smoothed(x: Picture) -> Picture:
    """The filter (1, 2, 1) / 4 along rows, then along columns."""
    near = np.pad(x, ((1, 1), (0, 0), (0, 0)), "edge")
    near = np.pad((near[:-2] + 2 * near[1:-1] + near[2:]) / 4, ((0, 0), (1, 1), (0, 0)), "edge")
    return (near[:, :-2] + 2 * near[:, 1:-1] + near[:, 2:]) / 4


def resized(x: Float[np.ndarray, "r c *rest"], rows: int, columns: int) -> Float[np.ndarray, "rows columns *rest"]:
    """`x` with other numbers of rows and columns, by linear filters."""
    for axis, size in enumerate((rows, columns)):
        if x.shape[axis] != size:
            x = np.moveaxis(np.tensordot(_filter(x.shape[axis], size), x, (1, axis)), 0, axis)
    return x


def _filter(old_size: int, new_size: int) -> Float[np.ndarray, "new old"]:
    ratio = old_size / new_size
    centre = (np.arange(new_size)[:, None] + 0.5) * ratio - 0.5
    weights = np.maximum(0, 1 - np.abs(centre - np.arange(old_size)) / max(ratio, 1))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def at_position(grid: Grid, position: float) -> Float[np.ndarray, "*rest"]:
    """The entry of `grid` at `position` along its first axis, by linear interpolation; positions outside give the nearest end."""
    lower = min(max(int(np.floor(position)), 0), max(len(grid) - 2, 0))
    fraction = np.float32(min(max(position - lower, 0.0), 1.0))
    if fraction == 0:
        return grid[lower]
    return grid[lower] * (1 - fraction) + grid[min(lower + 1, len(grid) - 1)] * fraction


def in_time(grid: Grid, time: float) -> Float[np.ndarray, "*rest"]:
    """The value of `grid`, whose points are evenly spaced from time 0 to time 1, at `time`."""
    return at_position(grid, float(np.float32(time) * np.float32(len(grid) - 1)))


def bilinear(picture: Picture, rows: Float[np.ndarray, "h w"], columns: Float[np.ndarray, "h w"]) -> Picture:
    """`picture` at the positions (rows, columns); a position outside counts as the nearest one inside."""
    height, width, channels = picture.shape
    y0, y1, down = _neighbours(rows, height)
    x0, x1, across = _neighbours(columns, width)
    flat = picture.reshape(-1, channels)
    y0, y1 = y0 * width, y1 * width
    upper, lower = (_lerp(flat.take(y + x0, 0, mode="clip"), flat.take(y + x1, 0, mode="clip"), across) for y in (y0, y1))
    return _lerp(upper, lower, down)


def _neighbours(
    positions: Float[np.ndarray, "h w"], size: int
) -> tuple[Int[np.ndarray, "h w"], Int[np.ndarray, "h w"], Float[np.ndarray, "h w 1"]]:
    """The entries before and after each position along an axis of `size` entries, and the share of the second one."""
    inside = np.fmin(np.fmax(positions, 0), np.float32(size - 1))  # fmax gives 0 for a position that is not a number
    first = inside.astype(np.intp)
    return first, np.minimum(first + 1, size - 1), (inside - first.astype(np.float32))[..., None]


def _lerp(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(1 - share) a + share b; the array `b` is overwritten."""
    b -= a
    b *= share
    b += a
    return b


def to_rgb(x: Features) -> Features:
    """R'G'B' of opponent colours, for each three channels."""
    return (x.reshape(-1, 3) @ OPPONENT).reshape(x.shape)


def doubled(picture: Picture) -> Float[np.ndarray, "h2 w2 3"]:
    """`picture` with an interpolated sample between each two neighbours: 2 h - 1 rows and 2 w - 1 columns."""
    height, width, channels = picture.shape
    out = np.empty((2 * height - 1, 2 * width - 1, channels), np.float32)
    rows = np.pad(picture, ((2, 3), (0, 0), (0, 0)), "edge")
    out[::2, ::2], out[1::2, ::2] = picture, _half(rows, height)[:-1]
    columns = np.pad(out[:, ::2], ((0, 0), (2, 3), (0, 0)), "edge").swapaxes(0, 1)
    out[:, 1::2] = _half(columns, width)[:-1].swapaxes(0, 1)
    return out


def _half(near: Float[np.ndarray, "n *rest"], size: int) -> Float[np.ndarray, "size *rest"]:
    """The sample half-way after each one of `size` samples; `near` has two more before them and three more after them."""
    a, b, c, d, e, f = (near[k : k + size] for k in range(6))
    return (a + f - 5 * (b + e) + 20 * (c + d)) * np.float32(1 / 32)


def fourier_operator(x: Features, weight: Float[np.ndarray, "2 u v i o"], stride: int) -> Features:
    """PFNR's Fourier operator, from (rows, columns, i) to (rows * stride, columns * stride, o)."""
    (rows, columns, _), mode_rows = x.shape, (weight.shape[1] + 1) // 2
    kept_rows, kept_columns = min(mode_rows, (rows + 1) // 2), min(weight.shape[2], (columns + 1) // 2)
    u, v = np.arange(1 - kept_rows, kept_rows), np.arange(kept_columns)
    spectrum = np.einsum("ur,rci,vc->uvi", _waves(u, rows).conj(), x, _waves(v, columns).conj(), optimize=True) / (rows * columns)
    complex_weight = (weight[0] + 1j * weight[1])[np.where(u < 0, u + 2 * mode_rows - 1, u), :kept_columns]
    mixed = np.einsum("uvi,uvio->uvo", spectrum, complex_weight) * np.where(v == 0, 1, 2)[:, None]
    waves = np.einsum("ur,uvo,vc->rco", _waves(u, rows * stride), mixed, _waves(v, columns * stride), optimize=True)
    return waves.real.astype(np.float32)


def _waves(frequencies: Int[np.ndarray, " k"], size: int) -> np.ndarray:
    """exp(2 pi j frequency position / size), for each frequency and position."""
    return np.exp(2j * np.pi * frequencies[:, None] * np.arange(size) / size)


def to_levels(picture: Picture) -> UInt8[np.ndarray, "h w 3"]:
    """Stage 7: limited to 0..1, times 255, rounded, halves to even."""
    return np.rint(np.fmin(np.fmax(picture, 0), 1) * np.float32(255)).astype(np.uint8)
