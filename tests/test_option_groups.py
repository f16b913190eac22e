"""codec/option_groups.py and train/cli/arguments.py: groups of flags, and the options that they become."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import pytest
import typer

from codec.option_groups import with_option_groups
from codec.shell import run
from inr.errors import UsageError
from train.cli import arguments
from train.cli.encode import EncodeFlags
from train.cli.main import application
from train.plan import texts
from train.plan.options import EncodeOptions, encode_options


@dataclass(frozen=True)
class SizeFlags:
    width: Annotated[int, typer.Option("--width", "-w", help="Columns.")]
    height: Annotated[int, typer.Option(help="Rows.")] = 8


@dataclass(frozen=True)
class WordFlags:
    two_words: Annotated[str, typer.Option(help="A text.")] = "none"
    loud: Annotated[bool, typer.Option("--loud/--quiet")] = False


@dataclass(frozen=True)
class AllFlags(WordFlags, SizeFlags):
    extra: Annotated[float | None, typer.Option()] = None


CALLS: list[tuple] = []


@with_option_groups
def command(source: Annotated[Path, typer.Argument()], size: SizeFlags, words: WordFlags = WordFlags(), last: bool = False) -> int:
    """The help of the command."""
    CALLS.append((source, size, words, last))
    return 0


@with_option_groups
def inheriting(flags: AllFlags) -> int:
    CALLS.append((flags,))
    return 0


def called(function, *words: str) -> tuple:
    """The arguments that a command gets from words of the command line."""
    CALLS.clear()
    single = typer.Typer()
    single.command()(function)
    assert run(single, list(words)) == 0
    return CALLS.pop()


def options_of(function) -> dict[str, list[str]]:
    """The flags of a command by the name of their parameter."""
    single = typer.Typer(add_completion=False)
    single.command()(function)
    parsed = typer.main.get_command(single)
    return {p.name: [*p.opts, *p.secondary_opts] for p in parsed.params if p.param_type_name == "option" and p.name != "help"}


# Groups


def test_each_field_of_a_group_becomes_one_flag():
    assert options_of(command) == {
        "width": ["--width", "-w"], "height": ["--height"], "two_words": ["--two-words"], "loud": ["--loud", "--quiet"],
        "last": ["--last", "--no-last"],
    }  # fmt: skip


def test_a_group_gets_the_values_and_defaults_of_its_flags():
    assert called(command, "a.mp4", "-w", "3") == (Path("a.mp4"), SizeFlags(3, 8), WordFlags("none", False), False)
    given = called(command, "a.mp4", "--height", "5", "--width", "4", "--two-words", "x y", "--loud", "--last")
    assert given == (Path("a.mp4"), SizeFlags(4, 5), WordFlags("x y", True), True)


def test_a_group_may_inherit_from_others():
    assert options_of(inheriting).keys() == {field.name for field in fields(AllFlags)}
    assert called(inheriting, "-w", "2", "--extra", "0.5") == (AllFlags(width=2, extra=0.5),)


def test_a_field_without_default_is_required(capsys: pytest.CaptureFixture[str]):
    single = typer.Typer()
    single.command()(command)
    assert run(single, ["a.mp4"]) == 2
    assert "--width" in capsys.readouterr().err


def test_name_and_help_of_the_command_stay():
    assert command.__name__ == "command"
    assert command.__doc__ == "The help of the command."


@pytest.mark.parametrize("verb", [["encode"], ["bench"], ["decode"], ["eval"], ["compare"], ["bundle", "add"], ["bundle", "pretrain"]])
def test_no_verb_has_two_flags_of_one_name(verb: list[str]):
    parsed = typer.main.get_command(application)
    for name in verb:
        parsed = parsed.commands[name]
    flags = [flag for parameter in parsed.params for flag in (*parameter.opts, *parameter.secondary_opts)]
    assert len(flags) == len(set(flags)) > 3
    assert all(getattr(parameter, "help", None) for parameter in parsed.params)


# The options that flags become


def test_flags_become_the_options_of_the_same_keywords():
    flags = EncodeFlags(
        target_bpp=0.1, preset="fast", frames="2:9", scale="1/2", seed=3, chunk="16", key_every=4, time_budget="2m", model="hnerv"
    )
    expected = encode_options(
        target_bpp=0.1, preset="fast", frames=(2, 9), scale="1/2", seed=3, chunk=16, key_every=4, time_budget=120.0, model="hnerv"
    )
    options = arguments.encode_options_of(flags)
    assert options.with_run(started=None) == expected
    assert options.run.started is not None
    assert options.identity() == expected.identity()
    as_texts = encode_options(target_bpp=0.1, preset="fast", frames="2:9", scale="1/2", seed=3, chunk="16", key_every=4, time_budget="2m",
                              model="hnerv")  # fmt: skip
    assert as_texts == expected


def test_flags_left_out_are_the_defaults():
    options = arguments.encode_options_of(EncodeFlags())
    assert options.with_run(started=None) == EncodeOptions()
    assert arguments.encode_options_of(EncodeFlags(resume="never")).run.resume is False


def test_texts_are_parsed():
    assert [texts.seconds(text) for text in ("", "90", "90s", "10m", "2h", "1.5M")] == [None, 90, 90, 600, 7200, 90]
    assert [texts.segment_frames(text) for text in ("", "16", "auto")] == [None, 16, 0]
    for parse, refused in ((texts.seconds, ("soon", "-1s", "0", "inf", "nan")), (texts.segment_frames, ("0", "-3", "some"))):
        for text in refused:
            with pytest.raises(UsageError):
                parse(text)
