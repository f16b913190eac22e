"""EncodePlan one point: encode, decode the file on disk, and measure it by the same code for every codec."""

import time
from collections.abc import Callable
from pathlib import Path

from codec.decoder import decode
from codec.evaluation import compare
from codec.shell import span
from inr.cost import macs_per_pixel
from inr.video import Video
from inr.writing import temporary_name
from train.bench.ffmpeg import read_stream, run_ffmpeg, write_y4m
from train.bench.ffmpeg_codecs import FFmpegCodec
from train.bench.plan import Job, Network, SourceClip
from train.bench.points import MeasuredJob
from train.encode.files import encode_file
from train.fit.interrupts import die_of_interrupt
from train.fit.progress import Reporter
from train.plan.options import encode_options


class Runner:
    """Runs jobs; keeps the frames of the clip at hand."""

    def __init__(self, reporter: Callable[[], Reporter]):
        self._reporter = reporter
        self._clip: SourceClip | None = None
        self._video: Video | None = None

    def __call__(self, job: Job, folder: Path) -> MeasuredJob:
        """Write the job's stream under `folder` and measure it."""
        (folder / job.stream).parent.mkdir(exist_ok=True)
        match job.codec:
            case FFmpegCodec():
                return self._run_hybrid(job, job.codec, folder)
            case Network():
                return self._run_network(job, job.codec, folder)

    def _source(self, clip: SourceClip) -> Video:
        if self._video is None or self._clip != clip:
            self._clip, self._video = clip, clip.read()
        return self._video

    def _run_hybrid(self, job: Job, codec: FFmpegCodec, folder: Path) -> MeasuredJob:
        video, stream, converted = self._source(job.clip), folder / job.stream, folder / job.y4m
        if not converted.is_file():
            converted.parent.mkdir(exist_ok=True)
            write_y4m(video, converted)
        unfinished = temporary_name(stream)
        began = time.monotonic()
        try:
            run_ffmpeg(job.arguments(str(unfinished.relative_to(folder))), folder)
            encoded = time.monotonic()
            unfinished.replace(stream)
        finally:
            unfinished.unlink(missing_ok=True)
        renamed = time.monotonic()
        frames = read_stream(stream, codec.container, video.height, video.width, job.threads)
        decoded = time.monotonic()
        return MeasuredJob(compare(frames, video.frames, stream.stat().st_size), encoded - began, decoded - renamed)

    def _run_network(self, job: Job, codec: Network, folder: Path) -> MeasuredJob:
        stream = folder / job.stream
        options = encode_options(
            preset=codec.preset,
            target_bpp=job.quality,
            frames=span(job.clip.frames),
            scale=job.clip.scale,
            time_budget=codec.seconds,
            overwrite=True,
        )
        reporter = self._reporter()
        resumed = options.run.folder(stream).exists()
        encoded = encode_file(job.clip.path, stream, options, reporter)
        assert encoded is not None  # only without `overwrite` may there be nothing to do
        if encoded.interrupted:
            reporter.say("stopped: the points so far are kept; the same command goes on from here")
            die_of_interrupt()
        began = time.monotonic()
        data = stream.read_bytes()
        frames = decode(data).render()
        seconds = time.monotonic() - began
        report = compare(frames, self._source(job.clip).frames, len(data))
        spec = encoded.problem.spec
        return MeasuredJob(
            report, None if resumed else encoded.seconds, seconds, macs_per_pixel(spec, encoded.problem.video), encoded.steps
        )
