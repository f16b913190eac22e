"""Rate-distortion curves against each other: Bjontegaard's mean difference in rate."""

from train.bench.points import Point

LEAST_POINTS = 2  # what a piecewise cubic needs
LEAST_OVERLAP = 0.5  # of the smaller range of PSNR


def bd_rate(anchor: list[Point], test: list[Point]) -> float | None:
    """Percent of bits that `test` takes more (or, below zero, less) than `anchor` at equal PSNR, by PCHIP.

    None where the curves have too few points, or share too little of their range of PSNR.
    """
    if min(len(one := _curve(anchor)), len(other := _curve(test))) < LEAST_POINTS:
        return None
    (low, high), (other_low, other_high) = (min(one), max(one)), (min(other), max(other))
    smaller = min(high - low, other_high - other_low)
    if min(high, other_high) - max(low, other_low) < LEAST_OVERLAP * smaller:
        return None
    import bjontegaard

    qualities, rates = [*one], [*one.values()]
    found = bjontegaard.bd_rate(rates, qualities, [*other.values()], [*other], "pchip", require_matching_points=False, min_overlap=0)
    assert not isinstance(found, tuple)  # only when asked for its interpolants
    return float(found)


def _curve(points: list[Point]) -> dict[float, float]:
    """Bits per pixel by rising PSNR; of points of equal PSNR the cheapest."""
    return {point.psnr_rgb: point.bpp for point in sorted(points, key=lambda point: (point.psnr_rgb, -point.bpp))}


def bd_rates(points: list[Point], anchor: str) -> dict[str, dict[str, float | None]]:
    """Every codec against the anchor, clip by clip."""

    def of(clip: str, codec: str) -> list[Point]:
        return [point for point in points if (point.clip, point.codec) == (clip, codec)]

    clips, codecs = (dict.fromkeys(getattr(point, name) for point in points) for name in ("clip", "codec"))
    return {clip: {codec: bd_rate(of(clip, anchor), of(clip, codec)) for codec in codecs if codec != anchor} for clip in clips}
