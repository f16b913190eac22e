"""`inr bundle` as far as it needs no training code: create, list, info, extract, verify, rm."""

from pathlib import Path
from typing import Annotated

import typer

from codec.shell import Json, Overwrite, emit, say

bundle_application = typer.Typer(name="bundle", help="Several videos in one file, on one decoder.", no_args_is_help=True)

Bundle = Annotated[Path, typer.Argument(metavar="NAME.inr", help="The bundle; any .inr file is one.")]
Name = Annotated[str, typer.Argument(metavar="VIDEO", help="A video's name, as `inr bundle list` shows it.")]


@bundle_application.command("create")
def create_command(
    target: Bundle,
    size: Annotated[str, typer.Option("--size", metavar="200k", help="Weights that videos share; default: as the first one needs.")] = "",
    fourier: Annotated[str, typer.Option("--fourier", metavar="RxC", help="Modes of a Fourier operator in the second block.")] = "",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Make an empty bundle; the first video added decides on its network."""
    from codec.bundle import BundleSettings, empty_bundle
    from codec.sizes import parse_count, parse_modes
    from inr.writing import check_free, write_atomically

    check_free(target, overwrite)
    capacity = parse_count(size) if size else 0
    data = empty_bundle(BundleSettings(capacity, parse_modes(fourier) if fourier else (0, 0)))
    write_atomically(target, data)
    if as_json:
        emit("result", output=str(target), bytes=len(data), capacity_asked=capacity)
    else:
        say(f"{target}   empty; inr bundle add {target} VIDEO")


@bundle_application.command("list")
def list_command(source: Bundle, as_json: Json = False) -> None:
    """The videos of a bundle, a line each."""
    from codec.bundle import facts
    from codec.loading import read_file

    found: dict = facts(read_file(source), str(source))
    if as_json:
        emit("result", **found)
        return
    for video in found["videos"]:
        print(f"{video['name']}\t{video['width']}x{video['height']}\t{video['frames']} frames\t{video['bytes']} bytes")


@bundle_application.command("info")
def info_command(source: Bundle, as_json: Json = False) -> None:
    """How full a bundle's decoder is, and what each video takes, reuses, claims and keeps to itself."""
    from codec.bundle import facts, facts_lines
    from codec.loading import read_file

    found = facts(read_file(source), str(source))
    if as_json:
        emit("result", **found)
    else:
        print("\n".join(facts_lines(found)))


@bundle_application.command("extract")
def extract_command(
    source: Bundle,
    name: Name,
    target: Annotated[Path | None, typer.Option("--output", "-o", metavar="OUT.inr", help="Default: VIDEO.inr.")] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write one video as a file of its own: the layers it stands on, without what it does not use of them."""
    from codec.bundle import extracted
    from codec.encoder import encode
    from codec.loading import open_model, video_index
    from inr.writing import check_free, write_atomically

    target = target or Path(f"{name}.inr")
    check_free(target, overwrite)
    model, size = open_model(source)
    data = encode(extracted(model, video_index(model, name)))
    write_atomically(target, data)
    if as_json:
        emit("result", output=str(target), bytes=len(data), video=name)
    else:
        say(f"{target}   {len(data)} bytes, of {size} for all {len(model.clips)} videos")


@bundle_application.command("verify")
def verify_command(source: Bundle, as_json: Json = False) -> None:
    """Check every record, and every video's dequantised and masked tensors against the checksum stored with it."""
    from codec.bundle import checksums_match
    from codec.loading import open_model
    from inr.errors import VerifyError

    model, size = open_model(source)
    found = {model.clip_spec(at).name: checksums_match(model, at) for at in range(len(model.clips))}
    if broken := [name for name, fine in found.items() if fine is False]:
        raise VerifyError(
            "tensors", f"the tensors of {', '.join(broken)} are not those that were stored", "report it: checksums of records hold"
        )
    if as_json:
        emit("result", output=str(source), bytes=size, videos=found)
        return
    for name, fine in found.items():
        print(f"{name}\t{'tensors as stored' if fine else 'no checksum of tensors; its records are intact'}")


@bundle_application.command("rm")
def rm_command(source: Bundle, name: Name, as_json: Json = False) -> None:
    """Take a video out, and the layers that no other video stands on."""
    from codec.bundle import bundle_settings, without
    from codec.decoder import decode
    from codec.encoder import encode
    from codec.loading import read_file, video_index
    from inr.writing import write_atomically

    before = read_file(source)
    model, size = decode(before), len(before)
    data = encode(without(model, video_index(model, name)), bundle_settings(before).records)
    write_atomically(source, data)
    if as_json:
        emit("result", output=str(source), bytes=len(data), removed=name, freed=size - len(data))
    else:
        say(f"{source}   {len(data)} bytes, {size - len(data)} less")
