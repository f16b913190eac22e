"""Comparison of rate-distortion curves: Bjontegaard's mean difference in rate (VCEG-M33, 2001)."""

from train.bench.points import Point

LEAST_POINTS = 2  # fewest points that PCHIP can interpolate
LEAST_OVERLAP = 0.5  # share of the smaller range of PSNR that both curves must cover


def bd_rate(anchor: list[Point], test: list[Point]) -> float | None:
    """Mean difference in rate between `test` and `anchor` at equal PSNR, in percent, by PCHIP; negative if `test` takes fewer bits.

    None if a curve has fewer than LEAST_POINTS points, or if the ranges of PSNR overlap too little.
    """
    if min(len(curve := _curve(anchor)), len(other := _curve(test))) < LEAST_POINTS:
        return None
    (low, high), (other_low, other_high) = (min(curve), max(curve)), (min(other), max(other))
    smaller = min(high - low, other_high - other_low)
    if min(high, other_high) - max(low, other_low) < LEAST_OVERLAP * smaller:
        return None
    import bjontegaard

    qualities, rates = [*curve], [*curve.values()]
    percent = bjontegaard.bd_rate(rates, qualities, [*other.values()], [*other], "pchip", require_matching_points=False, min_overlap=0)
    assert not isinstance(percent, tuple)  # it is a tuple only if the interpolants are requested
    return float(percent)


def _curve(points: list[Point]) -> dict[float, float]:
    """Bits per pixel by PSNR, in rising order. Of points with equal PSNR, the one of the lowest rate remains."""
    return {point.psnr_rgb: point.bpp for point in sorted(points, key=lambda point: (point.psnr_rgb, -point.bpp))}


def bd_rates(points: list[Point], anchor: str) -> dict[str, dict[str, float | None]]:
    """For each clip, the BD-rate of every codec but the anchor against `anchor`, in percent; None as for `bd_rate`."""

    def of(clip: str, codec: str) -> list[Point]:
        return [point for point in points if (point.clip, point.codec) == (clip, codec)]

    clips, codecs = (dict.fromkeys(getattr(point, name) for point in points) for name in ("clip", "codec"))
    return {clip: {codec: bd_rate(of(clip, anchor), of(clip, codec)) for codec in codecs if codec != anchor} for clip in clips}
