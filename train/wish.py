"""What a user asks of a file: a size, a rate or a quality."""

from dataclasses import dataclass

from codec.sizes import parse_bitrate, parse_size
from inr.errors import UsageError
from inr.spec import VideoSpec


@dataclass(frozen=True)
class Wish:
    """A quality of 1 to 100, or one target: bytes, bits per pixel or bits per second of the whole file, or PSNR.

    `target_psnr` is in decibels, the mean over frames on 8-bit R'G'B' of the decoded file.
    """

    quality: int = 50
    target_bytes: int | None = None
    target_bpp: float | None = None
    target_bitrate: float | None = None
    target_psnr: float | None = None

    def cap(self, video: VideoSpec) -> int | None:
        """Bytes that the whole file may take; None if no size is asked for."""
        if self.target_bytes is not None:
            return self.target_bytes
        if self.target_bpp is not None:
            return int(self.target_bpp * video.pixels / 8)
        if self.target_bitrate is not None:
            return int(self.target_bitrate * video.frames / video.fps / 8)
        return None

    def nominal_bpp(self, video: VideoSpec) -> float:
        """Bits per pixel to size the network by: the target, or the quality's on ordinary content."""
        cap = self.cap(video)
        return 0.1 * 2 ** ((self.quality - 50) / 14) if cap is None else 8 * cap / video.pixels


def checked_wish(
    quality: int | None = None, size: str = "", bpp: float | None = None, bitrate: str = "", psnr: float | None = None
) -> Wish:
    """The wish that options spell; UsageError if they contradict each other or lie outside their range."""
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
    return Wish(
        quality=50 if quality is None else quality,
        target_bytes=parse_size(size) if size else None,
        target_bpp=bpp,
        target_bitrate=parse_bitrate(bitrate) if bitrate else None,
        target_psnr=psnr,
    )
