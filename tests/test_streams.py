"""inr/streams.py and codec/streams.py: sound, subtitles, chapters and the times of frames travel through a file."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import Outcome, moving_square

from codec.bitstream import BitstreamError
from codec.decoder import decode
from codec.streams import payload_of, size_of, streams_bytes, streams_of, with_streams
from inr.errors import StreamWarning
from inr.streams import Chapter, Streams, read_streams
from inr.writing import write_video
from train.encode.files import encode_file

Command = Callable[..., Outcome]
FRAMES, RATE, SOUND = 12, 25, 16_000  # frames, frames and samples of sound in a second
UNEVEN = (0, 40, 80, 140, 160, 200, 260, 280, 320, 380, 400, 440)  # times of frames in milliseconds
TITLES = ("one", "zwölf")


def recording(path: Path, times: Sequence[int] = range(0, 40 * FRAMES, 40), sound: str | None = "aac", chapters: bool = False) -> Path:
    """A clip of FRAMES frames with a tone, as a phone writes it; `times` of frames are in milliseconds, `sound` is FFmpeg's codec."""
    with av.open(str(path), "w") as out:
        if chapters:
            edges = [0, 200, 480]
            out.set_chapters(
                [
                    {"id": at + 1, "start": start, "end": end, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
                    for at, ((start, end), title) in enumerate(zip(pairwise(edges), TITLES, strict=True))
                ]
            )
        pictures = out.add_stream("libx264", rate=RATE)
        pictures.width, pictures.height, pictures.pix_fmt = 48, 32, "yuv420p"
        pictures.codec_context.time_base = Fraction(1, 1000)
        tone = out.add_stream(sound, rate=SOUND) if sound else None
        if tone is not None:
            tone.layout = "mono"
        for rgb, time in zip(moving_square(FRAMES, 32, 48).frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            out.mux(pictures.encode(frame))
        out.mux(pictures.encode())
        if tone is not None:
            wave = np.sin(np.arange(SOUND * FRAMES // RATE) / 10)
            samples = (wave * 20_000).astype(np.int16)[None]
            piece = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = SOUND, 0, Fraction(1, SOUND)
            resampler = av.AudioResampler(format=tone.format, layout="mono", rate=SOUND, frame_size=tone.codec_context.frame_size or None)
            for part in (*resampler.resample(piece), *resampler.resample(None)):
                out.mux(tone.encode(part))
            out.mux(tone.encode())
    return path


def packets(path: Path, kind: str) -> list[tuple[bytes, float]]:
    """The bytes of the packets of a kind of stream, and their times in seconds after the first picture."""
    with av.open(str(path)) as source:
        first = min(packet.pts * packet.time_base for packet in source.demux(video=0) if packet.pts is not None)
    with av.open(str(path)) as source:
        streams = [stream for stream in source.streams if stream.type == kind]
        found = [packet for packet in source.demux(*streams) if packet.size] if streams else []
        return [(bytes(packet), float(packet.pts * packet.time_base - first)) for packet in found]


def frame_times(path: Path) -> list[float]:
    with av.open(str(path)) as source:
        times = [float(frame.time) for frame in source.decode(video=0)]
    return [time - times[0] for time in times]


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recording of uneven timing with sound and chapters, and its .inr file."""
    folder = tmp_path_factory.mktemp("phone")
    source, target = recording(folder / "phone.mp4", UNEVEN, chapters=True), folder / "phone.inr"
    encode_file(source, target, target_bpp=2.0, preset="40", streams="copy")
    return source, target


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_and_times_come_back(phone: tuple[Path, Path], suffix: str, inr: Command, tmp_path: Path):
    source, encoded = phone
    target = tmp_path / f"out{suffix}"
    assert inr("decode", encoded, target).code == 0
    before, after = packets(source, "audio"), packets(target, "audio")
    assert len(before) > 5
    assert [data for data, _ in after] == [data for data, _ in before]
    assert [time for _, time in after] == pytest.approx([time for _, time in before], abs=2e-3)  # Matroska counts milliseconds
    assert frame_times(target) == pytest.approx([time / 1000 for time in UNEVEN], abs=2e-3)
    with av.open(str(target)) as out:
        found = [(chapter["metadata"]["title"], float(chapter["start"] * chapter["time_base"])) for chapter in out.chapters()]
    assert found == [(TITLES[0], 0.0), (TITLES[1], pytest.approx(0.2, abs=2e-3))]


def test_a_part_of_the_frames_gets_its_part_of_the_sound(phone: tuple[Path, Path], inr: Command, tmp_path: Path):
    source, encoded = phone
    target = tmp_path / "part.mkv"
    assert inr("decode", encoded, target, "--frames", "3:8").code == 0
    assert frame_times(target) == pytest.approx([(time - UNEVEN[3]) / 1000 for time in UNEVEN[3:8]], abs=2e-3)
    first, end = UNEVEN[3] / 1000, UNEVEN[8] / 1000
    length = 1024 / SOUND
    heard = [data for data, time in packets(source, "audio") if time + length > first + 2e-3 and time < end - 2e-3]
    after = packets(target, "audio")
    assert [data for data, _ in after] == heard
    assert -length <= after[0][1] <= 2e-3


def test_a_part_of_the_source_is_encoded_with_its_part_of_the_sound(tmp_path: Path):
    source = recording(tmp_path / "a.mp4", chapters=True)
    whole, part = read_streams(source), read_streams(source, (6, None))
    assert not whole.durations
    assert 0 < len(part.container) < len(whole.container)
    assert part.chapters == (Chapter(0, 240, TITLES[1]),)
    assert read_streams(source, (6, 8)).chapters == (Chapter(0, 80, TITLES[1]),)


def test_sizes_say_what_counts(phone: tuple[Path, Path], inr: Command):
    source, encoded = phone
    data = encoded.read_bytes()
    streams = read_streams(source)
    assert streams_of(data) == streams
    assert streams_bytes(data) == size_of(streams)
    pixels = FRAMES * 32 * 48
    assert len(data) <= 2.0 * pixels / 8  # sound counts under a cap
    facts = inr("info", encoded, "--json").last
    assert facts["bytes"] == len(data)
    assert facts["stream_bytes"] == size_of(streams)
    assert facts["bpp"] == pytest.approx(8 * (len(data) - size_of(streams)) / pixels)
    measured = inr("eval", encoded, "--ref", source, "--json").last
    assert (measured["bytes"], measured["stream_bytes"]) == (len(data), size_of(streams))
    assert measured["bpp"] == pytest.approx(facts["bpp"])


def test_a_file_that_lost_its_sound_gets_it_back(phone: tuple[Path, Path]):
    """A process that is killed between the file's name and its sound leaves a whole file without sound."""
    source, encoded = phone
    data = encoded.read_bytes()
    encoded.write_bytes(with_streams(data, Streams()))
    assert decode(encoded.read_bytes()).videos
    assert encode_file(source, encoded, target_bpp=2.0, preset="40", streams="copy") is None
    assert encoded.read_bytes() == data


def test_sound_of_more_than_half_of_a_cap_is_left_out(phone: tuple[Path, Path], tmp_path: Path, inr: Command):
    source, _ = phone
    cap = size_of(read_streams(source)) * 3 // 2
    done = inr("encode", source, tmp_path / "a.inr", "--target-size", cap, "--preset", 40)
    assert done.code == 0
    assert "--streams copy" in done.err
    assert not streams_of((tmp_path / "a.inr").read_bytes())
    encoded = encode_file(source, tmp_path / "b.inr", target_size=cap, preset="40", streams="copy")
    assert encoded is not None
    assert encoded.target_hit
    assert encoded.report.bytes == (tmp_path / "b.inr").stat().st_size <= cap


def test_sound_that_leaves_nothing_of_a_cap_is_an_error(phone: tuple[Path, Path], tmp_path: Path, inr: Command):
    done = inr("encode", phone[0], tmp_path / "a.inr", "--target-size", 900, "--streams", "copy")
    assert done.code == 6
    assert "--streams none" in done.err
    assert not (tmp_path / "a.inr").exists()


def test_nothing_is_copied_unasked(phone: tuple[Path, Path], tmp_path: Path):
    source, _ = phone
    with pytest.warns(StreamWarning, match="audio"):
        encode_file(source, tmp_path / "a.inr", target_bpp=2.0, preset="40", streams="none")
    assert not streams_of((tmp_path / "a.inr").read_bytes())


def test_a_smaller_file_keeps_its_sound(phone: tuple[Path, Path], tmp_path: Path, inr: Command):
    _, encoded = phone
    cap = encoded.stat().st_size - 250
    done = inr("retarget", encoded, tmp_path / "small.inr", "--target-size", cap)
    assert done.code == 0, done.err
    assert (tmp_path / "small.inr").stat().st_size <= cap
    assert streams_of((tmp_path / "small.inr").read_bytes()) == streams_of(encoded.read_bytes())


def test_an_output_that_cannot_hold_a_stream_says_so(tmp_path: Path, inr: Command):
    source = recording(tmp_path / "a.mkv", sound="pcm_u8")
    (tmp_path / "b.inr").write_bytes(with_streams(minimal_file(tmp_path), read_streams(source)))
    lost, kept = (inr("decode", tmp_path / "b.inr", tmp_path / name) for name in ("c.mp4", "c.mkv"))
    assert (lost.code, kept.code) == (0, 0)
    assert "mp4 cannot hold the audio stream (pcm_u8)" in lost.err
    assert "cannot hold" not in kept.err
    assert [data for data, _ in packets(tmp_path / "c.mkv", "audio")] == [data for data, _ in packets(source, "audio")]


def minimal_file(folder: Path) -> bytes:
    write_video(moving_square(2, 16, 16), str(folder / "min.mkv"))
    encode_file(folder / "min.mkv", folder / "min.inr", preset="1", target_bpp=4.0)
    return (folder / "min.inr").read_bytes()


def test_damaged_sound_is_left_out(tmp_path: Path, inr: Command):
    (tmp_path / "a.inr").write_bytes(with_streams(minimal_file(tmp_path), Streams(b"no container at all")))
    done = inr("decode", tmp_path / "a.inr", tmp_path / "a.mkv")
    assert done.code == 0
    assert "sound" in done.err
    assert len(frame_times(tmp_path / "a.mkv")) == 2


@pytest.mark.parametrize("payload", [b"\x02\x00", b"\x02\x00\x01\x00\x01\x05\x00", b"\x02\x00\x00\x01\x00\x01\x01\xff"])
def test_a_record_that_is_not_valid_is_refused(payload: bytes, tmp_path: Path):
    from codec.bitstream import Kind, assemble_file, records

    kept = [(record.kind, record.payload) for record in records(minimal_file(tmp_path))]
    with pytest.raises(BitstreamError):
        streams_of(assemble_file([*kept[:-1], (Kind.EXTRA, payload)], kept[-1][1]))


def test_the_record_has_exactly_these_bytes():
    streams = Streams(b"AB", 300, Fraction(1, 90_000), (3000, 1), (Chapter(0, 40, "é"),))
    assert payload_of(streams) == bytes.fromhex("02 ac02 02 01 90bf05 b817 01 01 00 28 02 c3a9 41 42".replace(" ", ""))
    assert payload_of(replace(streams, durations=(), tick=Fraction(1), chapters=())) == b"\x02\xac\x02\x00\x00AB"
