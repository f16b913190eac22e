"""The commands of `inr bundle` that need no training code: create, list, info, extract, verify, rm."""

from pathlib import Path
from typing import Annotated

import typer

from codec.shell import Json, Overwrite, emit, say

bundle_application = typer.Typer(name="bundle", help="Bundles: several videos in one file, which share weights.", no_args_is_help=True)

Bundle = Annotated[Path, typer.Argument(metavar="NAME.inr", help="The bundle. Every .inr file is a bundle.")]
Name = Annotated[str, typer.Argument(metavar="VIDEO", help="A video's name, as `inr bundle list` prints it.")]


@bundle_application.command("create")
def create_command(
    target: Bundle,
    size: Annotated[
        str, typer.Option("--size", metavar="200k", help="Number of shared weights. Default: as many as the first video needs.")
    ] = "",
    fourier: Annotated[str, typer.Option("--fourier", metavar="RxC", help="Give the second block a Fourier operator of R x C modes.")] = "",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Create an empty bundle. The first video that is added determines the network."""
    from codec.bundle import BundleSettings, empty_bundle
    from codec.sizes import parse_count, parse_modes
    from inr.files import check_inr, write_atomically

    check_inr(target, overwrite)
    capacity = parse_count(size) if size else 0
    data = empty_bundle(BundleSettings(capacity, parse_modes(fourier) if fourier else (0, 0)))
    write_atomically(target, data)
    if as_json:
        emit("result", output=str(target), bytes=len(data), capacity_asked=capacity)
    else:
        say(f"{target}   empty bundle; inr bundle add {target} VIDEO   adds a video")


@bundle_application.command("list")
def list_command(source: Bundle, as_json: Json = False) -> None:
    """List the videos of a bundle, one on each line."""
    from codec.bundle import facts
    from codec.loading import read_file

    bundle: dict = facts(read_file(source), str(source))
    if as_json:
        emit("result", **bundle)
        return
    for video in bundle["videos"]:
        print(f"{video['name']}\t{video['width']}x{video['height']}\t{video['frames']} frames\t{video['bytes']} bytes")


@bundle_application.command("info")
def info_command(source: Bundle, as_json: Json = False) -> None:
    """Show the free capacity of a bundle, and for each video its bytes and its numbers of reused, claimed and private weights."""
    from codec.bundle import facts, facts_lines
    from codec.loading import read_file

    bundle = facts(read_file(source), str(source))
    if as_json:
        emit("result", **bundle)
    else:
        print("\n".join(facts_lines(bundle)))


@bundle_application.command("extract")
def extract_command(
    source: Bundle,
    name: Name,
    target: Annotated[Path | None, typer.Option("--output", "-o", metavar="OUT.inr", help="Default: VIDEO.inr.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write one video as a file of its own, with the weight layers that it references, but without the weights that it does not use."""
    from codec.bundle import extracted
    from codec.decoder import decode
    from codec.encoder import encode
    from codec.loading import read_file, video_index
    from codec.streams import streams_of, with_streams
    from inr.files import check_inr, write_atomically

    target = target or Path(f"{name}.inr")
    check_inr(target, overwrite, [source])
    whole = read_file(source)
    model, size = decode(whole), len(whole)
    clip = video_index(model, name)
    data = encode(extracted(model, clip))
    data = data if clip else with_streams(data, streams_of(whole))  # they belong to the first video
    write_atomically(target, data)
    if as_json:
        emit("result", output=str(target), bytes=len(data), video=name)
    else:
        say(f"{target}   {len(data)} bytes; the file of all {len(model.clips)} videos has {size} bytes")


@bundle_application.command("verify")
def verify_command(source: Bundle, as_json: Json = False) -> None:
    """Check every record, and compare every video's dequantised and masked tensors with their stored checksum."""
    from codec.bundle import checksums_match
    from codec.loading import open_model
    from inr.errors import VerifyError

    model, size = open_model(source)
    matches = {model.clip_spec(clip).name: checksums_match(model, clip) for clip in range(len(model.clips))}
    if wrong := [name for name, match in matches.items() if match is False]:
        raise VerifyError(
            "tensors",
            f"the tensors of {', '.join(wrong)} do not match their checksums",
            "report this bug; the checksums of all records match",
        )
    if as_json:
        emit("result", output=str(source), bytes=size, videos=matches)
        return
    for name, match in matches.items():
        print(f"{name}\t{'tensors match their checksum' if match else 'no checksum of tensors; the records are intact'}")


@bundle_application.command("rm")
def rm_command(source: Bundle, name: Name, as_json: Json = False) -> None:
    """Remove a video, and the weight layers that no other video references."""
    from codec.bundle import bundle_settings, without
    from codec.decoder import decode
    from codec.encoder import encode
    from codec.loading import read_file, video_index
    from codec.streams import streams_of, with_streams
    from inr.files import locked, write_atomically

    read_file(source)  # a lock needs a folder that exists
    with locked(source, say):
        old = read_file(source)
        model, size = decode(old), len(old)
        clip = video_index(model, name)
        data = encode(without(model, clip), bundle_settings(old).records)
        data = with_streams(data, streams_of(old)) if clip else data  # they belong to the first video
        write_atomically(source, data)
    if as_json:
        emit("result", output=str(source), bytes=len(data), removed=name, freed=size - len(data))
    else:
        say(f"{source}   {len(data)} bytes, {size - len(data)} bytes less than before")
