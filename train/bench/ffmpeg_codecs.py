"""The block-based codecs to compare with: encoders of FFmpeg at their slow settings, one group of pictures, PSNR first."""

from dataclasses import dataclass

LEAST_GROUP = 300  # frames between key frames at least: below, encoders shorten their lookahead with it


@dataclass(frozen=True)
class FFmpegCodec:
    """An encoder: its dial and the dial's range here, and its options, in which {quality}, {group} and {threads} are filled in.

    `container` is FFmpeg's name for its elementary stream. `any_size` says whether it codes 4:4:4, which odd sizes need.
    """

    name: str
    encoder: str
    container: str
    dial: str
    best: int
    worst: int
    options: str
    any_size: bool = False

    def label(self, quality: float) -> str:
        """A point's name among the codec's points."""
        return f"{self.dial} {quality:g}"

    def settings(self, quality: float, frames: int, threads: int) -> list[str]:
        """FFmpeg's output options for one point of a clip of `frames` frames."""
        group = max(LEAST_GROUP, frames + 1)
        return f"-c:v {self.encoder} {self.options}".format(quality=f"{quality:g}", group=group, threads=threads).split()


# Messages that only name the encoder are left out of the streams (H.264 and VVC: SEI units; x265: info=0).
FFMPEG_CODECS = (
    FFmpegCodec(
        "x264", "libx264", "h264", "crf", 18, 43,
        "-preset veryslow -tune psnr -crf {quality} -g {group} -threads {threads} -bsf:v filter_units=remove_types=6",
        any_size=True,
    ),
    FFmpegCodec(
        "x265", "libx265", "hevc", "crf", 16, 41,
        "-preset veryslow -tune psnr -crf {quality} -g {group} -x265-params log-level=error:info=0:pools={threads}",
        any_size=True,
    ),
    FFmpegCodec("svtav1", "libsvtav1", "obu", "crf", 15, 63, "-preset 4 -crf {quality} -g {group}"),
    FFmpegCodec(
        "vvenc", "libvvenc", "vvc", "qp", 22, 47,
        "-pix_fmt yuv420p10le -preset slow -qpa 0 -qp {quality} -g {group} -threads {threads} -bsf:v filter_units=remove_types=23",
    ),
)  # fmt: skip
