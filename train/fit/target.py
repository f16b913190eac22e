"""The target of a fit: the size, rate or quality that a user asks for."""

from collections.abc import Callable
from dataclasses import dataclass

from codec.sizes import parse_bitrate, parse_size
from inr.errors import UsageError
from inr.spec import VideoSpec

LEAST_USED = 0.97  # least share of a cap that rate control tries to use
MOST_ABOVE = 0.3  # most decibels above a target PSNR at which rate control stops
RICH_PSNR = 50.0  # decibels of PSNR from which a file need not use LEAST_USED of its cap
DEFAULT_QUALITY = 50


@dataclass(frozen=True)
class RateTarget:
    """A quality setting, 1 to 100, or one target of the whole file: bytes, bits per pixel, bits per second, or PSNR.

    `target_bytes`, `target_bpp` and `target_bitrate` are caps. `target_psnr` is in decibels: the mean over frames of the PSNR of the
    decoded file, in 8-bit R'G'B'. At most one of them is not None. Without a cap, `quality` sets the rate for which the network is sized.
    `reserved` bytes of the file hold no pictures; a cap is that of the others.
    """

    quality: int = DEFAULT_QUALITY
    target_bytes: int | None = None
    target_bpp: float | None = None
    target_bitrate: float | None = None
    target_psnr: float | None = None
    reserved: int = 0

    def cap(self, video: VideoSpec) -> int | None:
        """The most bytes that the whole file, without the reserved ones, may have; None if the target is not a cap."""
        if self.target_bytes is not None:
            return self.target_bytes - self.reserved
        if self.target_bpp is not None:
            return int(self.target_bpp * video.pixels / 8) - self.reserved
        if self.target_bitrate is not None:
            return int(self.target_bitrate * video.frames / video.fps / 8) - self.reserved
        return None

    def resolved(self, video: VideoSpec, used: int = 0) -> "RateTarget":
        """The same target with its cap in bytes, from which `used` bytes are subtracted."""
        cap = self.cap(video)
        return RateTarget(self.quality, None if cap is None else cap - used, target_psnr=self.target_psnr)

    def nominal_bpp(self, video: VideoSpec) -> float:
        """The bits per pixel for which the network is sized: those of the cap, or those of the quality setting on ordinary content."""
        cap = self.cap(video)
        return 0.1 * 2 ** ((self.quality - 50) / 14) if cap is None else 8 * cap / video.pixels

    def met_by(self, size: int, psnr: Callable[[], float]) -> bool:
        """Whether a file of `size` bytes meets this target, which must be resolved.

        The file has at most the bytes of the cap, or at least the target's PSNR. `psnr` returns the file's PSNR in decibels; it is called
        only if it matters.
        """
        if self.target_bytes is not None:
            return size <= self.target_bytes
        return self.target_psnr is None or psnr() >= self.target_psnr

    def hit_by(self, size: int, psnr: Callable[[], float]) -> bool:
        """Whether rate control may stop at a file of `size` bytes: the file meets this target, which must be resolved, by a small margin.

        Under a cap, the file uses at least the share LEAST_USED of it, or has a PSNR of at least RICH_PSNR. With a target PSNR, the file
        exceeds it by at most MOST_ABOVE. `psnr` returns the file's PSNR in decibels; it is called only if it matters.
        """
        if self.target_bytes is not None:
            return size <= self.target_bytes and (size >= LEAST_USED * self.target_bytes or psnr() >= RICH_PSNR)
        return self.target_psnr is None or 0 <= psnr() - self.target_psnr <= MOST_ABOVE

    def identity(self) -> str:
        """The target as text, a part of a run's key. Its form must not change: finished files contain a hash of the key."""
        return (
            f"Wish(quality={self.quality!r}, target_bytes={self.target_bytes!r}, target_bpp={self.target_bpp!r}, "
            f"target_bitrate={self.target_bitrate!r}, target_psnr={self.target_psnr!r}"
            + (f", reserved={self.reserved!r})" if self.reserved else ")")
        )


def checked_target(
    quality: int | None = None, size: str = "", bpp: float | None = None, bitrate: str = "", psnr: float | None = None
) -> RateTarget:
    """The target from the values of the options -q, --target-size, --target-bpp, --target-bitrate and --target-psnr.

    UsageError if more than one of them is given, or if a value is outside its range.
    """
    options = {
        "-q": quality,
        "--target-size": size or None,
        "--target-bpp": bpp,
        "--target-bitrate": bitrate or None,
        "--target-psnr": psnr,
    }
    given = [f"{flag} {value}" for flag, value in options.items() if value is not None]
    if len(given) > 1:
        raise UsageError("two-targets", f"{' and '.join(given)} contradict each other; give one", given[0])
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError("quality-range", f"-q {quality} lies outside 1..100", "-q 50")
    if bpp is not None and not 0 < bpp <= 24:
        raise UsageError("bpp-range", f"--target-bpp {bpp} lies outside 0..24 bits per pixel", "--target-bpp 0.1")
    if psnr is not None and not 5 <= psnr <= 60:
        raise UsageError("psnr-range", f"--target-psnr {psnr} lies outside 5..60 dB", "--target-psnr 32")
    return RateTarget(
        quality=DEFAULT_QUALITY if quality is None else quality,
        target_bytes=parse_size(size) if size else None,
        target_bpp=bpp,
        target_bitrate=parse_bitrate(bitrate) if bitrate else None,
        target_psnr=psnr,
    )
