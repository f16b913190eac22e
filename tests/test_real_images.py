"""inr/images.py: images as viewers show them, of every kind of samples and under every name."""

import math
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms
from test_real_inputs import HEIGHT, RGB, WIDTH, close, warned

from inr.errors import InputError, MediaWarning
from inr.images import FROM_YCBCR
from inr.reading import Source, probe, read_video
from inr.video import Video
from inr.writing import write_video


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_a_picture_is_shown_as_its_orientation_says(tmp_path: Path, suffix: str, orientation: int):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {".png": {}, ".tif": {}, ".webp": {"lossless": True}}.get(suffix, {"quality": 95})
    Image.fromarray(RGB).save(tmp_path / f"a{suffix}", exif=exif, **options)
    turned = {
        1: RGB, 2: RGB[:, ::-1], 3: RGB[::-1, ::-1], 4: RGB[::-1], 5: RGB.transpose(1, 0, 2), 6: np.rot90(RGB, -1),
        7: RGB[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(RGB),
    }[orientation]  # fmt: skip
    assert close(read_video(tmp_path / f"a{suffix}").frames[0], turned)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif", "a.avif"])
def test_an_image_file_of_several_pictures_is_a_video(tmp_path: Path, name: str):
    pictures = [Image.fromarray(np.roll(RGB, 5 * index, axis=1)) for index in range(6)]
    pictures[0].save(
        tmp_path / name, save_all=True, append_images=pictures[1:], duration=100, loop=0, **({"lossless": True} if "w" in name else {})
    )
    video, extent = read_video(tmp_path / name), probe(tmp_path / name)
    assert (len(video), extent.frames, len(Source(tmp_path / name))) == (6, 6, 6)
    assert close(video.frames, np.stack([np.asarray(picture) for picture in pictures]))
    assert video.fps == (25 if name == "a.tif" else 10)
    assert np.array_equal(read_video(tmp_path / name, (2, 4)).frames, video.frames[2:4])
    assert np.array_equal(Source(tmp_path / name)[1:3].frames, video.frames[1:3])


def test_a_smaller_version_inside_a_tiff_is_no_frame(tmp_path: Path):
    small = Image.fromarray(RGB[::2, ::2])
    small.encoderinfo = {"tiffinfo": {254: 1}}
    Image.fromarray(RGB).save(tmp_path / "a.tif", save_all=True, append_images=[small])
    with Image.open(tmp_path / "a.tif") as image:
        assert image.n_frames == 2
    assert np.array_equal(read_video(tmp_path / "a.tif").frames, RGB[None])


def test_one_scale_for_all_frames_of_a_folder(tmp_path: Path):
    for index, level in enumerate((0, 100, 300, 60_000)):
        Image.fromarray(np.full((4, 4), level, np.uint16)).save(tmp_path / f"{index}.png")
    video, texts = warned(tmp_path)
    assert video.frames[:, 0, 0, 0].tolist() == [0, 0, 1, 234]
    assert set(texts) == {f"'{tmp_path.name}' has 16 bits a sample; only the upper 8 bits are kept"}


def test_float_samples_from_0_to_1_are_read(tmp_path: Path):
    samples = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    Image.fromarray(samples).save(tmp_path / "a.tif")
    with pytest.warns(MediaWarning, match="floats"):
        assert np.array_equal(read_video(tmp_path / "a.tif").frames[0, ..., 1], np.rint(255 * samples))
    for value, text in ((math.nan, "not a number"), (2.0, "to 2; only 0")):
        Image.fromarray(np.where(samples > 0.9, np.float32(value), samples)).save(tmp_path / "b.tif")
        with pytest.raises(InputError, match=text):
            read_video(tmp_path / "b.tif")


@pytest.mark.parametrize(
    ("mode", "name"), [("CMYK", "a.jpg"), ("CMYK", "a.tif"), ("LAB", "a.tif"), ("YCbCr", "a.tif"), ("1", "a.png"), ("L", "a.tif")]
)
def test_every_kind_of_samples_becomes_rgb(tmp_path: Path, mode: str, name: str):
    image = Image.fromarray(RGB)
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        converted = ImageCms.applyTransform(image, ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    elif mode == "YCbCr":  # Pillow's own conversion is inexact
        samples = np.linalg.solve(FROM_YCBCR.T, RGB.reshape(-1, 3).T).T + np.array([0, 128, 128])
        converted = Image.fromarray(np.rint(samples).astype(np.uint8).reshape(RGB.shape), "YCbCr")
    else:
        converted = image.convert(mode)
    converted.save(tmp_path / name)
    expected = np.asarray(converted.convert("RGB")) if mode in ("1", "L") else RGB
    found = read_video(tmp_path / name).frames[0]
    assert close(found, expected, 1.5)
    assert np.abs(found.mean(axis=(0, 1)) - expected.mean(axis=(0, 1))).max() < 1.0


def test_transparency_is_refused_also_in_palettes(tmp_path: Path):
    palette = Image.fromarray(RGB).quantize(16)
    palette.save(tmp_path / "a.png", transparency=3)
    with pytest.raises(InputError, match="transparent"):
        read_video(tmp_path / "a.png")


def test_heic_is_read_with_an_add_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import pillow_heif

    pillow_heif.from_pillow(Image.fromarray(RGB)).save(tmp_path / "a.heic", quality=95)
    assert close(read_video(tmp_path / "a.heic").frames, RGB[None])
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(InputError, match="HEIC, which needs an add-on"):
        read_video(tmp_path / "a.heic")


def test_pictures_that_only_ffmpeg_reads(tmp_path: Path):
    """16-bit colours in TIFF, which Pillow does not know."""
    deep = RGB.astype(np.uint16) * 257
    with av.open(str(tmp_path / "a.tif"), "w", format="image2", options={"update": "1"}) as container:
        stream = container.add_stream("tiff", rate=1)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "rgb48le"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(deep, format="rgb48le")))
        container.mux(stream.encode())
    video, texts = warned(tmp_path / "a.tif")
    assert close(video.frames, RGB[None], 1.0)
    assert any("16 bits" in text for text in texts)


def test_a_jpeg_under_another_name_is_read(tmp_path: Path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(RGB).save(tmp_path / "a.jpg", quality=95, exif=exif)
    (tmp_path / "a.jpg").rename(tmp_path / "picture")
    assert close(read_video(tmp_path / "picture").frames[0], np.rot90(RGB, -1))


# Names


@pytest.mark.parametrize("name", ["a:b", "50%", "f_%04d", "what?", "star*", "[1]", "a b", "-", "ünï", "x" * 200])
def test_a_name_is_only_a_name(tmp_path: Path, name: str):
    video = Video(np.stack([RGB] * 2))
    write_video(video, str(tmp_path / "a.mkv"))
    target = tmp_path / f"{name}.mkv"
    (tmp_path / "a.mkv").rename(target)
    assert np.array_equal(read_video(target).frames, video.frames)
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(target.with_suffix(".png"))
    assert np.array_equal(read_video(target.with_suffix(".png")).frames, RGB[None])
    assert read_video(target.with_suffix(".png")).name == name


def test_a_name_may_have_any_bytes(tmp_path: Path):
    write_video(Video(np.stack([RGB] * 2)), str(tmp_path / "a.mkv"))
    target = Path(bytes(tmp_path / "a.mkv").decode()).with_name(b"caf\xe9.mkv".decode("utf-8", "surrogateescape"))
    (tmp_path / "a.mkv").rename(target)
    video = read_video(target)
    assert len(video) == 2
    video.name.encode()  # a name that UTF-8 can hold


def test_hidden_files_and_brackets_of_folders(tmp_path: Path):
    for name in ("f[1]_0.png", "f[1]_1.png", "f1_0.png"):
        Image.fromarray(RGB).save(tmp_path / name)
    (tmp_path / "._f[1]_0.png").write_bytes(b"Mac OS X resource fork")
    assert len(read_video(tmp_path)) == 3
    assert len(read_video(tmp_path / "f[1]_*.png")) == 2
    assert len(read_video(tmp_path / "*.png")) == 3


def test_a_folder_of_animations_says_that_it_takes_their_first_pictures(tmp_path: Path):
    for name in ("a.png", "b.webp"):
        pictures = [Image.fromarray(np.roll(RGB, 5 * index, axis=1)) for index in range(3)]
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], duration=100, lossless=True)
    video, texts = warned(tmp_path)
    assert len(video) == 2
    assert set(texts) == {"some images have several pictures; only the first of each is coded"}
