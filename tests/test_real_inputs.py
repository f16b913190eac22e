"""inr/decoding.py and inr/containers.py: videos as players show them, and damaged ones."""

import math
import struct
import warnings
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from inr.decoding import Decoding
from inr.errors import InputError
from inr.orientation import Orientation
from inr.reading import Source, probe, read_video
from inr.video import Colour, Video
from inr.writing import write_video

HEIGHT, WIDTH = 48, 64
RGB = np.stack(np.broadcast_arrays(*np.mgrid[20:220:48j, 30:230:64j], 90), axis=-1).astype(np.uint8)  # smooth, with four different corners


def encoded(
    path: Path, frames: int = 8, codec: str = "libx264", pixels: str = "yuv420p", changed: Callable | None = None, **options: str
) -> None:
    """A clip of RGB that moves to the right; `changed` can change the stream before the first frame."""
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25, options={"g": "12", "bf": "2"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        if changed:
            changed(stream)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(RGB, index, axis=1), format="rgb24").reformat(format=pixels)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def warned(path: Path) -> tuple[Video, list[str]]:
    """A source, and the texts of the warnings that reading it causes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        video = read_video(path)
    return video, [str(warning.message) for warning in caught]


def close(found: np.ndarray, expected: np.ndarray, limit: float = 3.0) -> bool:
    return found.shape == expected.shape and float(np.abs(found.astype(int) - expected).mean()) < limit


# Geometry


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_rotated_video_is_upright(tmp_path: Path, degrees: int):
    encoded(tmp_path / "a.mp4", changed=lambda stream: stream.set_display_rotation(degrees))
    expected = np.rot90(RGB, degrees // 90)  # FFmpeg counts counter-clockwise
    video, extent = read_video(tmp_path / "a.mp4"), probe(tmp_path / "a.mp4")
    assert close(video.frames[0], expected)
    assert (extent.width, extent.height) == (video.width, video.height)
    assert np.array_equal(Source(tmp_path / "a.mp4")[:].frames, video.frames)


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((1, 0, 0, 1), RGB),
        ((-1, 0, 0, 1), RGB[:, ::-1]),
        ((1, 0, 0, -1), RGB[::-1]),
        ((0, 1, 1, 0), RGB.transpose(1, 0, 2)),
        ((0, 1, -1, 0), np.rot90(RGB, -1)),  # (x, y) goes to (-y, x): a quarter clockwise
        ((0, -1, 1, 0), np.rot90(RGB, 1)),
    ],
)
def test_the_display_matrix_turns_and_mirrors(matrix: tuple[int, int, int, int], turned: np.ndarray):
    a, b, c, d = (value << 16 for value in matrix)

    class Data(bytes):
        type = av.sidedata.sidedata.Type.DISPLAYMATRIX

    class Frame:
        side_data = (Data(struct.pack("=9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)),)

    orientation = Orientation.of(Frame)
    assert np.array_equal(orientation.turned(RGB), turned)
    assert orientation.size(WIDTH, HEIGHT) == turned.shape[1::-1]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".y4m"])
def test_the_shape_of_pixels_is_kept(tmp_path: Path, suffix: str):
    video = Video(np.stack([RGB] * 3), pixel_aspect=Fraction(64, 45))
    write_video(video, str(tmp_path / f"a{suffix}"))
    again = read_video(tmp_path / f"a{suffix}")
    assert again.pixel_aspect == Fraction(64, 45)
    assert close(again.frames, video.frames, 1.0)
    if suffix == ".mkv":
        assert np.array_equal(again.frames, video.frames)


def test_outputs_that_cannot_keep_the_shape_of_pixels_say_so(tmp_path: Path):
    video = Video(RGB[None], pixel_aspect=Fraction(64, 45))
    for name in ("a.png", "a.npy", "folder"):
        assert "64:45" in write_video(video, str(tmp_path / name))


def test_a_rotated_stream_has_turned_pixels(tmp_path: Path):
    def wide_and_turned(stream):
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        stream.set_display_rotation(90)

    encoded(tmp_path / "a.mp4", changed=wide_and_turned)
    assert read_video(tmp_path / "a.mp4").pixel_aspect == Fraction(3, 4)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (3, 1)])
def test_sides_of_few_pixels_and_several_frames(tmp_path: Path, height: int, width: int):
    frames = np.random.default_rng(0).integers(0, 256, (4, height, width, 3), np.uint8)
    for suffix in (".mkv", ".y4m"):
        write_video(Video(frames), str(tmp_path / f"a{suffix}"))
        assert read_video(tmp_path / f"a{suffix}").frames.shape == frames.shape
    assert np.array_equal(read_video(tmp_path / "a.mkv").frames, frames)


# Which stream, and its rate


def with_cover(path: Path, clip: bool) -> None:
    """A file with a large picture as cover art, and, if `clip`, a small clip after it."""
    from av.stream import Disposition

    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 128, 128, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        if clip:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        else:
            audio = container.add_stream("aac", rate=8000)
        packets = cover.encode(
            av.VideoFrame.from_ndarray(np.full((128, 128, 3), 200, np.uint8), format="rgb24").reformat(format="yuvj420p")
        )
        container.mux(packets + cover.encode())
        if clip:
            for _ in range(5):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(RGB, format="rgb24").reformat(format="yuv420p")))
            container.mux(stream.encode())
        else:
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.sample_rate = 8000
            container.mux(audio.encode(sound))
            container.mux(audio.encode())


def test_cover_art_is_no_video(tmp_path: Path):
    with_cover(tmp_path / "clip.mp4", clip=True)
    video, texts = warned(tmp_path / "clip.mp4")
    assert video.frames.shape == (5, HEIGHT, WIDTH, 3)
    assert not texts
    with_cover(tmp_path / "song.mp4", clip=False)
    with pytest.raises(InputError, match="only cover art"):
        read_video(tmp_path / "song.mp4")


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(25), Fraction(50), Fraction(12)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".y4m"])
def test_the_frame_rate_is_that_of_the_source(tmp_path: Path, suffix: str, rate: Fraction):
    write_video(Video(np.stack([RGB] * 12), rate), str(tmp_path / f"a{suffix}"))
    video, texts = warned(tmp_path / f"a{suffix}")
    assert (video.fps, texts) == (rate, [])


def test_an_interlaced_source_is_said_to_be(tmp_path: Path):
    def interlaced(stream):
        stream.options = {"flags": "+ildct+ilme", "x264-params": "tff=1"}

    encoded(tmp_path / "a.mp4", changed=interlaced)
    assert any("interlaced" in text for text in warned(tmp_path / "a.mp4")[1])


# Samples of containers


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", [1, 5])
def test_chroma_is_read_without_a_bias(tmp_path: Path, matrix: int, full_range: bool):
    """Against a conversion in floating point, of samples whose chroma is smooth."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    y = 16 + (rows * 3 + columns) % 220
    u, v = (np.broadcast_to(base + way * np.arange(WIDTH // 2), (HEIGHT // 2, WIDTH // 2)) for base, way in ((100, 1), (150, -1)))
    kr, kb = {1: (0.2126, 0.0722), 5: (0.299, 0.114)}[matrix]
    planes = np.concatenate([plane.astype(np.uint8).ravel() for plane in (y, u, v)]).reshape(HEIGHT * 3 // 2, WIDTH)
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 2 if full_range else 1
        container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode())
    # Chroma without a stated place lies between two pixels for FFmpeg; in an H.264 stream, it lies at the left one.
    luma, chroma = (1.0, 1.0) if full_range else (255 / 219, 255 / 224)
    grey = (y - (0 if full_range else 16)) * luma
    blue, red = ((100 + way * (np.arange(WIDTH) / 2 - 0.25) + base - 128) * chroma for base, way in ((0, 1), (50, -1)))
    r, b = grey + 2 * (1 - kr) * red, grey + 2 * (1 - kb) * blue
    g = (grey - kr * r - kb * b) / (1 - kr - kb)
    ideal = np.clip(np.stack([r, g, b], axis=-1), 0, 255)
    found = read_video(tmp_path / "a.mkv").frames[0]
    error = found[2:-2, 4:-4] - ideal[2:-2, 4:-4]
    assert 10 * math.log10(255**2 / np.mean(np.square(error))) > 50
    assert np.abs(error.mean(axis=(0, 1))).max() < 0.3


@pytest.mark.parametrize(
    "colour", [Colour(), Colour(full_range=True), Colour(1, 1, 1, False), Colour(1, 1, 1, True), Colour(5, 6, 5, True)]
)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".y4m"])
def test_no_output_shifts_levels(tmp_path: Path, suffix: str, colour: Colour):
    ramp = np.repeat(np.tile(np.arange(256, dtype=np.uint8), (16, 1))[..., None], 3, axis=2)
    patches = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 256, (2, 16, 3), np.uint8), 8, axis=0), 16, axis=1)
    video = Video(np.stack([ramp, patches]), colour=colour)
    write_video(video, str(tmp_path / f"a{suffix}"))
    error = read_video(tmp_path / f"a{suffix}").frames.astype(int) - video.frames
    assert np.abs(error[0].mean(axis=(0, 1))).max() < 0.35
    assert np.abs(error[0]).max() <= (4 if suffix == ".mp4" else 1)  # mp4 is not lossless
    assert np.abs(error[1].mean(axis=(0, 1))).max() < 1.0


# Damage


def damaged(path: Path, at: int, length: int) -> Path:
    """A copy of the file at `path` with other bytes from `at` on."""
    data, copy = bytearray(path.read_bytes()), path.with_name(f"damaged_{path.name}")
    data[at : at + length] = np.random.default_rng(1).integers(0, 256, length, np.uint8).tobytes()
    copy.write_bytes(data)
    return copy


def test_a_file_cut_short_says_how_much_is_left(tmp_path: Path):
    encoded(tmp_path / "a.mp4", frames=50, movflags="faststart")
    whole = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "b.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    assert len(warned(tmp_path / "a.mp4")[0]) == 50
    video, texts = warned(tmp_path / "b.mp4")
    assert 5 < len(video) < 50
    assert f"{len(video)} of about 50 frames" in texts[0]
    assert len(Source(tmp_path / "b.mp4")) == len(video)
    assert all(len(list(Decoding(tmp_path / "b.mp4", "NONE"))) == len(video) for _ in range(2))


def test_a_matroska_cut_short_says_so(tmp_path: Path):
    encoded(tmp_path / "a.mkv", frames=50)
    whole = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "b.mkv").write_bytes(whole[: len(whole) // 2])
    video, texts = warned(tmp_path / "b.mkv")
    assert [f"{len(video)} of about 50 frames" in text for text in texts] == [True]


def test_a_damaged_stretch_is_concealed_and_said(tmp_path: Path):
    encoded(tmp_path / "a.mp4", frames=50)
    size = (tmp_path / "a.mp4").stat().st_size
    copy = damaged(tmp_path / "a.mp4", size // 2, size // 10)
    video, texts = warned(copy)
    assert len(video) == 50
    assert len(texts) == 1
    assert "of 50 frames are concealed" in texts[0]
    first = int(texts[0].split("--frames 0:")[1].split()[0])
    assert 0 < first < 50
    assert np.array_equal(Source(copy)[:].frames, video.frames)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(read_video(copy, (0, first)).frames, video.frames[:first])


def test_a_file_without_any_frame_is_refused(tmp_path: Path):
    encoded(tmp_path / "a.mp4", frames=1)
    whole = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "b.mp4").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "c.mp4").write_bytes(b"not a video" * 100)
    for name in ("b.mp4", "c.mp4"):
        with pytest.raises(InputError):
            read_video(tmp_path / name)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_frames_with_unknown_data_are_turned_too(degrees: int):
    """PyAV raises ValueError for a frame with data of a kind that it does not know, such as EXIF."""

    class Frame:
        rotation = degrees if degrees < 180 else degrees - 360  # PyAV: -180..180, counter-clockwise

        @property
        def side_data(self) -> None:
            raise ValueError("31 is not a valid Type")

    assert np.array_equal(Orientation.of(Frame()).turned(RGB), np.rot90(RGB, degrees // 90))
