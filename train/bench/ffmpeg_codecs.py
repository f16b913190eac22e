"""The codecs of FFmpeg to compare with: encoders at slow settings, tuned for PSNR, with one group of pictures."""

from dataclasses import dataclass

LEAST_GROUP = 300  # fewest frames between key frames; encoders shorten their lookahead for smaller values


@dataclass(frozen=True)
class FFmpegCodec:
    """An encoder. `dial` is the name of its quality option, whose values here run from `best` to `worst`.

    `options` are FFmpeg's options; {quality}, {group} and {threads} are replaced by their values. `container` is FFmpeg's name for the
    elementary stream. `any_size` tells whether the encoder supports odd sizes. A `still` codec is one for single pictures: it reads RGB,
    and `demuxer` is FFmpeg's name for its files when it reads them.
    """

    name: str
    encoder: str
    container: str
    dial: str
    best: int
    worst: int
    options: str
    any_size: bool = False
    still: bool = False
    demuxer: str = ""

    def label(self, quality: float) -> str:
        """The name of the codec's point at `quality`, such as 'crf 23'."""
        return f"{self.dial} {quality:g}"

    def settings(self, quality: float, frames: int, threads: int) -> list[str]:
        """FFmpeg's output options for one point, for a clip of `frames` frames."""
        group = max(LEAST_GROUP, frames + 1)
        return f"-c:v {self.encoder} {self.options}".format(quality=f"{quality:g}", group=group, threads=threads).split()


# Messages in the stream that only name the encoder are removed (H.264 and VVC: SEI units; x265: info=0).
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
    FFmpegCodec(
        "jxl", "libjxl", "image2pipe", "distance", 1, 15, "-distance {quality} -effort 9", any_size=True, still=True, demuxer="jpegxl_pipe"
    ),
)  # fmt: skip
