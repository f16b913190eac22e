"""Measures one point: encodes, decodes the file on disk, and measures it by the same code for every codec."""

import time
from collections.abc import Callable
from pathlib import Path

from codec.decoder import decode
from codec.evaluation import compare
from codec.interruption import die_of_interrupt
from inr.cost import macs_per_pixel
from inr.files import temporary_name, write_atomically
from inr.video import Video
from inr.writing import write_video
from train.bench.ffmpeg import read_stream, run_ffmpeg, write_y4m
from train.bench.ffmpeg_codecs import FFmpegCodec
from train.bench.pillow_codecs import PillowCodec, read_picture
from train.bench.plan import Job, Network, SourceClip
from train.bench.points import MeasuredJob
from train.encode.files import encode_file
from train.fit.progress import Reporter
from train.plan.options import encode_options


class Runner:
    """Runs jobs. It keeps the frames of the latest clip in memory.

    `reporter` is called before each fit of this project's codec, and returns the reporter of the fit.
    """

    def __init__(self, reporter: Callable[[], Reporter]):
        self._reporter = reporter
        self._clip: SourceClip | None = None
        self._video: Video | None = None

    def __call__(self, job: Job, folder: Path) -> MeasuredJob:
        """Write the job's stream under `folder` and measure it."""
        (folder / job.stream).parent.mkdir(exist_ok=True)
        match job.codec:
            case FFmpegCodec():
                return self._run_ffmpeg_codec(job, job.codec, folder)
            case PillowCodec():
                return self._run_pillow_codec(job, job.codec, folder)
            case Network():
                return self._run_network(job, job.codec, folder)

    def _source(self, clip: SourceClip) -> Video:
        """The frames of `clip`, read from disk only if it is not the latest clip."""
        if self._video is None or self._clip != clip:
            self._clip, self._video = clip, clip.read()
        return self._video

    def _run_ffmpeg_codec(self, job: Job, codec: FFmpegCodec, folder: Path) -> MeasuredJob:
        video, stream = self._source(job.clip), folder / job.stream
        self._write_source(job, folder)
        unfinished = temporary_name(stream)
        encoding_began = time.monotonic()
        try:
            run_ffmpeg(job.arguments(str(unfinished.relative_to(folder))), folder)
            encode_seconds = time.monotonic() - encoding_began
            unfinished.replace(stream)
        finally:
            unfinished.unlink(missing_ok=True)
        decoding_began = time.monotonic()
        frames = read_stream(stream, codec.demuxer or codec.container, video.height, video.width, job.threads, rgb=codec.still)
        decode_seconds = time.monotonic() - decoding_began
        return MeasuredJob(compare(frames, video.frames, stream.stat().st_size), encode_seconds, decode_seconds)

    def _write_source(self, job: Job, folder: Path) -> None:
        """Write the file that the job's codec reads, if it is not there."""
        source, video = folder / job.source, self._source(job.clip)
        if source.is_file():
            return
        source.parent.mkdir(exist_ok=True)
        if source.suffix == ".y4m":
            write_y4m(video, source)
        else:
            write_video(video, str(source))

    def _run_pillow_codec(self, job: Job, codec: PillowCodec, folder: Path) -> MeasuredJob:
        video, stream = self._source(job.clip), folder / job.stream
        self._write_source(job, folder)
        encoding_began = time.monotonic()
        data = codec.encode(video.frames, job.quality)
        encode_seconds = time.monotonic() - encoding_began
        write_atomically(stream, data)
        decoding_began = time.monotonic()
        frames = read_picture(stream)
        decode_seconds = time.monotonic() - decoding_began
        return MeasuredJob(compare(frames, video.frames, len(data)), encode_seconds, decode_seconds)

    def _run_network(self, job: Job, codec: Network, folder: Path) -> MeasuredJob:
        stream = folder / job.stream
        options = encode_options(
            preset=codec.preset,
            target_bpp=job.quality,
            frames=job.clip.frames,
            scale=job.clip.scale,
            time_budget=codec.seconds,
            overwrite=True,
            streams="none",
        )
        reporter = self._reporter()
        resumed = options.run.folder(stream).exists()
        encoded = encode_file(job.clip.path, stream, options, reporter)
        assert encoded is not None  # None means that the file is up to date, which `overwrite` excludes
        if encoded.interrupted:
            reporter.say("stopped: the measured points are kept; the same command continues from here")
            die_of_interrupt()
        began = time.monotonic()
        data = stream.read_bytes()
        frames = decode(data).render()
        decode_seconds = time.monotonic() - began
        report = compare(frames, self._source(job.clip).frames, len(data))
        spec = encoded.problem.spec
        return MeasuredJob(
            report, None if resumed else encoded.seconds, decode_seconds, macs_per_pixel(spec, encoded.problem.video), encoded.steps
        )
