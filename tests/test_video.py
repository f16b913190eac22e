"""inr/reading.py and inr/writing.py: exact and lossy formats, sources that are probed or read on demand, warnings, refusals."""

import struct
import subprocess
import sys
import warnings
import zlib
from fractions import Fraction
from importlib.resources import as_file, files
from pathlib import Path

import av
import imageio.v3 as iio
import numpy as np
import pytest
from conftest import PATIENCE
from PIL import ExifTags, Image

from inr.errors import InputError, MediaWarning, OutputError, UsageError
from inr.reading import Extent, Source, probe, read_video
from inr.scale import Scale
from inr.video import Colour, Video
from inr.writing import check_output, write_video

# Formats


def test_exact_formats_come_back_exactly(clip: Video, tmp_path: Path):
    rated = Video(clip.frames, Fraction(30000, 1001), clip.colour, clip.name)
    write_video(rated, str(tmp_path / "a.mkv"))
    again = read_video(tmp_path / "a.mkv")
    assert np.array_equal(again.frames, clip.frames)
    assert again.fps == Fraction(30000, 1001)
    write_video(clip, str(tmp_path / "a.npy"))
    assert np.array_equal(np.load(tmp_path / "a.npy"), clip.frames)
    for target, source in (("p_%03d.png", "p_*.png"), ("folder", "folder")):
        write_video(clip, str(tmp_path / target))
        assert np.array_equal(read_video(tmp_path / source).frames, clip.frames)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("colour", [Colour(), Colour(1, 1, 1, False), Colour(5, 6, 5, True)])
@pytest.mark.parametrize(("suffix", "height"), [(".mp4", 32), (".mp4", 31), (".y4m", 31)])
def test_lossy_formats_stay_near_and_keep_their_tags(clip: Video, tmp_path: Path, colour: Colour, suffix: str, height: int):
    rows, columns = np.mgrid[:height, :48]
    smooth = np.stack([rows * 4, columns * 4, 128 + 0 * rows], axis=-1).astype(np.uint8)
    video = Video(np.stack([smooth] * 3), clip.fps, colour)
    write_video(video, str(tmp_path / f"a{suffix}"))
    again = read_video(tmp_path / f"a{suffix}")
    assert again.frames.shape == video.frames.shape
    if suffix == ".mp4" and colour.matrix != 2:
        assert again.colour == colour
    assert np.abs(again.frames.astype(int) - video.frames).mean() < 2.5


def test_y4m_uses_the_matrix_that_its_readers_assume(tmp_path: Path):
    red = np.zeros((1, 2, 2, 3), np.uint8)
    red[..., 0] = 255
    for matrix in (2, 1):
        write_video(Video(red, colour=Colour(matrix=matrix)), str(tmp_path / f"{matrix}.y4m"))
        luma = (tmp_path / f"{matrix}.y4m").read_bytes().split(b"FRAME\n")[1][0]
        assert abs(luma - (16 + 219 * 0.299)) <= 1


def test_images_of_every_kind_become_8_bit_rgb(tmp_path: Path):
    generator = np.random.default_rng(0)
    rgb = generator.integers(0, 256, (9, 11, 3), np.uint8)
    iio.imwrite(tmp_path / "rgb.png", rgb)
    assert np.array_equal(read_video(tmp_path / "rgb.png").frames[0], rgb)
    iio.imwrite(tmp_path / "grey.png", rgb[..., 0])
    assert np.array_equal(read_video(tmp_path / "grey.png").frames[0], np.repeat(rgb[..., :1], 3, axis=2))
    iio.imwrite(tmp_path / "opaque.png", np.dstack([rgb, np.full_like(rgb[..., 0], 255)]))
    assert np.array_equal(read_video(tmp_path / "opaque.png").frames[0], rgb)
    iio.imwrite(tmp_path / "black.png", rgb[..., 0] > 127)
    assert np.array_equal(read_video(tmp_path / "black.png").frames[0, ..., 1], np.where(rgb[..., 0] > 127, 255, 0))
    iio.imwrite(tmp_path / "deep.png", rgb[..., 0].astype(np.uint16) * 256 + 255)
    with pytest.warns(MediaWarning, match="16 bits"):
        assert np.array_equal(read_video(tmp_path / "deep.png").frames[0, ..., 0], rgb[..., 0])


@pytest.mark.parametrize("name", ["a.tif", "a.webp", "a.bmp", "palette.png"])
def test_lossless_formats_keep_every_sample(tmp_path: Path, name: str):
    rgb = np.random.default_rng(0).integers(0, 2, (9, 11, 3), np.uint8) * 255
    picture = Image.fromarray(rgb)
    (picture.quantize(8) if name == "palette.png" else picture).save(tmp_path / name, lossless=True)
    assert np.array_equal(read_video(tmp_path / name).frames[0], rgb)


@pytest.mark.parametrize(("name", "mode"), [("a.avif", "RGB"), ("a.jpg", "RGB"), ("cmyk.jpg", "CMYK"), ("ycbcr.tif", "YCbCr")])
def test_other_formats_are_read_up_to_their_losses(tmp_path: Path, name: str, mode: str):
    rgb = np.tile(np.linspace(40, 200, 32, dtype=np.uint8)[:, None, None], (1, 48, 3))
    Image.fromarray(rgb).convert(mode).save(tmp_path / name)
    assert np.abs(read_video(tmp_path / name).frames[0].astype(int) - rgb).max() <= 6


def test_a_picture_is_upright(tmp_path: Path):
    rgb = np.random.default_rng(0).integers(0, 256, (9, 11, 3), np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # a viewer turns it by a quarter, clockwise
    Image.fromarray(rgb).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_video(tmp_path / "turned.png").frames[0], np.rot90(rgb, -1))


def test_a_deep_colour_picture_is_reduced_with_a_warning(tmp_path: Path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rgb = np.random.default_rng(0).integers(0, 65536, (9, 11, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in rgb)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 11, 9, 16, 2, 0, 0, 0))
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    with pytest.warns(MediaWarning, match="16 bits"):
        found = read_video(tmp_path / "deep.png").frames[0]
    assert np.abs(found.astype(int) - rgb / 257).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_a_transparent_picture_is_refused(tmp_path: Path, mode: str):
    picture = Image.fromarray(np.zeros((4, 4, 4), np.uint8), "RGBA")
    (picture.quantize(4) if mode == "P" else picture.convert(mode)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="transparent"):
        read_video(tmp_path / "a.png")


def test_samples_without_8_bit_colours_are_refused(tmp_path: Path):
    Image.fromarray(np.zeros((4, 4), np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match="kind 'I'"):
        read_video(tmp_path / "a.tif")


def test_a_gif_is_a_video(clip: Video, tmp_path: Path):
    iio.imwrite(tmp_path / "a.gif", clip.frames, plugin="pillow", duration=100, loop=0)
    again = read_video(tmp_path / "a.gif")
    assert again.frames.shape == clip.frames.shape
    assert again.fps == 10


# Sources


def test_folders_are_read_in_natural_order_and_of_one_size(tmp_path: Path):
    for index in (1, 2, 10):
        iio.imwrite(tmp_path / f"f{index}.png", np.full((4, 6, 3), index, np.uint8))
    assert read_video(tmp_path).frames[:, 0, 0, 0].tolist() == [1, 2, 10]
    assert (read_video(tmp_path).name, read_video(tmp_path / "f*.png").name) == (tmp_path.name, tmp_path.name)
    assert read_video(tmp_path / "f10.png").name == "f10"
    assert read_video(tmp_path / "f1*.png").frames[:, 0, 0, 0].tolist() == [1, 10]
    assert read_video(tmp_path, (1, None)).frames[:, 0, 0, 0].tolist() == [2, 10]
    iio.imwrite(tmp_path / "f11.png", np.zeros((5, 6, 3), np.uint8))
    with pytest.raises(InputError, match="frame 3 is 6x5, the frames before it 6x4"):
        read_video(tmp_path)


def test_spans_are_half_open_and_frames_are_resized_on_request(clip: Video, clip_file: Path):
    assert np.array_equal(read_video(clip_file, (2, 5)).frames, clip.frames[2:5])
    assert np.array_equal(read_video(clip_file, (-2, None)).frames, clip.frames[-2:])
    assert read_video(clip_file, (0, 1), Scale.parse("1/2")).frames.shape == (1, 16, 24, 3)
    assert read_video(clip_file, (0, 1), Scale.parse("20x10")).frames.shape == (1, 10, 20, 3)


def test_a_span_without_frames_is_refused_with_the_number_of_all_frames(clip_file: Path):
    for span in ((5, 5), (100, 200), (4, 2)):
        with pytest.raises(InputError, match="none of the 6 frames"):
            read_video(clip_file, span)


def test_a_scale_is_a_fraction_or_a_size():
    assert Scale.parse("") is None
    assert (str(Scale.parse("2/4")), str(Scale.parse("320X160"))) == ("1/2", "320x160")
    assert Scale.parse("1/3").size(100, 2) == (33, 1)
    for text in ("half", "0/2", "1/0", "-1/2", "0x5", "1.5"):
        with pytest.raises(UsageError, match="neither WxH nor a fraction"):
            Scale.parse(text)


@pytest.fixture(scope="module", params=["container", "folder", "glob", "image"])
def source(request: pytest.FixtureRequest, clip: Video, clip_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip as a container, a folder of images and a glob; and its first frame as an image."""
    folder = tmp_path_factory.mktemp("images")
    write_video(clip, str(folder / "f_%02d.png"))
    return {"container": clip_file, "folder": folder, "glob": folder / "f_*.png", "image": folder / "f_00.png"}[request.param]


@pytest.mark.parametrize("frames", [(None, None), (0, 1), (1, -1), (-4, None), (2, 99)])
@pytest.mark.parametrize("scale", [None, Scale((20, 10)), Scale(Fraction(1, 3))])
def test_a_probe_agrees_with_the_source(source: Path, frames: tuple[int | None, int | None], scale: Scale | None):
    """Size and number of frames by the header are those of the frames that are read, on demand or at once."""
    if source.name == "f_00.png":
        frames = (0, 1)
    extent, whole, on_demand = probe(source, frames, scale), read_video(source, frames, scale), Source(source, frames, scale)
    assert extent == Extent(whole.width, whole.height, len(whole))
    assert extent.frames == len(on_demand)
    assert np.array_equal(on_demand[:].frames, whole.frames)
    assert (on_demand[:].fps, on_demand[:].name) == (whole.fps, whole.name)


def test_missing_and_empty_sources_are_refused_in_the_same_words(tmp_path: Path):
    (tmp_path / "empty.mkv").write_bytes(b"")
    (tmp_path / "none").mkdir()
    for name in ("missing.mkv", "empty.mkv", "none", "x*.png"):
        messages = set()
        for read in (probe, read_video, Source):
            with pytest.raises(InputError) as raised:
                read(tmp_path / name)
            messages.add((raised.value.identifier, raised.value.what, raised.value.fix))
        assert len(messages) == 1


def test_a_decoder_closed_early_lets_its_threads_finish():
    """Threads that it leaves in the middle of a frame report errors, which must not wait for the interpreter's lock."""
    with as_file(files("inr") / "sample" / "bunny.mp4") as sample:
        read = f"from inr.reading import read_video\nfor _ in range(60): read_video({str(sample)!r}, (0, 6))"
        subprocess.run([sys.executable, "-c", read], check=True, timeout=PATIENCE)


# Warnings


def odd_container(path: Path, pixels: str = "yuv420p", times: tuple[int, ...] = (0, 1, 2, 3), audio: bool = False) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, pixels
        if audio:
            container.add_stream("pcm_s16le", rate=8000).layout = "mono"
        for time in times:
            frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 40 * len(times), np.uint8), format="rgb24").reformat(format=pixels)
            frame.pts = time
            frame.time_base = Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize(
    ("options", "warning"),
    [
        ({"audio": True}, "1 audio stream dropped"),
        ({"times": (0, 1, 5, 6)}, "variable frame timing"),
        ({"pixels": "yuv420p10le"}, "10 bits a sample"),
    ],
)
def test_each_loss_is_a_warning(tmp_path: Path, options: dict, warning: str):
    odd_container(tmp_path / "a.mkv", **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert len(read_video(tmp_path / "a.mkv")) == 4
    assert [warning in str(each.message) for each in caught] == [True]


def test_an_ordinary_clip_causes_no_warning(clip_file: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read_video(clip_file)) == 6


# Writing


def test_outputs_are_checked_before_the_work(tmp_path: Path):
    (tmp_path / "there.mkv").write_bytes(b"precious")
    for path, frames, error, text in [
        ("no/such/folder.mkv", 3, OutputError, "folder does not exist"),
        ("there.mkv", 3, OutputError, "exists already"),
        ("a.avi", 3, UsageError, "cannot write '.avi'"),
        ("a.png", 3, UsageError, "names one image, but there are 3"),
    ]:
        with pytest.raises(error, match=text):
            check_output(str(tmp_path / path), frames, overwrite=False)
    check_output(str(tmp_path / "a.png"), 1, overwrite=False)
    check_output(str(tmp_path / "there.mkv"), 3, overwrite=True)


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: Video):
    def fail(*arguments: object, **options: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write_video(clip, str(tmp_path / "a.npy"))
    assert not list(tmp_path.iterdir())
