"""The options of an encode as a few frozen objects; each room gets the one that it needs.

`FitOptions` and `ReuseOptions` decide the result, and `EncodeOptions.identity` is made of them. `Selection` decides the pixels, which are
hashed by themselves. `RunOptions` decide where and when, and never the result.
"""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inr.errors import UsageError
from inr.images import Span
from inr.scale import Scale
from train.fit.target import RateTarget, checked_target

PRESETS = {"fast": 2500, "medium": 10_000, "slow": 32_000}  # steps of a fit, unless a time budget says otherwise
MODELS = ("cam", "hnerv", "nerv", "nerv++", "ffnerv", "nirvana")
MODULATED = "+cam"  # behind the name of a paper's network: with norm and CAM


@dataclass(frozen=True)
class Preset:
    """A named effort, or a number of steps; `name` is its spelling on the command line."""

    name: str
    steps: int

    @classmethod
    def parse(cls, text: str) -> "Preset":
        """'fast', 'medium', 'slow', or a number of steps; UsageError for anything else."""
        if text.isdecimal() and int(text) > 0:
            return cls(text, int(text))
        if text not in PRESETS:
            raise UsageError("unknown-choice", f"--preset {text}: it is one of {', '.join(PRESETS)}, or a number of steps", "--preset fast")
        return cls(text, PRESETS[text])

    @property
    def most_steps(self) -> float:
        """Steps that a time budget never exceeds: those of a preset that is a number."""
        return math.inf if self.name in PRESETS else self.steps


@dataclass(frozen=True)
class Model:
    """A network family by name, and whether norm and CAM are added to a paper's network."""

    name: str
    modulated: bool = False

    @classmethod
    def parse(cls, text: str, modulated: bool = False) -> "Model":
        """'hnerv' or 'hnerv+cam'; UsageError for an unknown name. The default family is modulated by itself."""
        name = text.removesuffix(MODULATED)
        if name not in MODELS:
            raise UsageError("unknown-choice", f"--model {text}: it is one of {', '.join(MODELS)}", "--model cam")
        return cls(name, name != "cam" and (modulated or name != text))

    def __str__(self) -> str:
        return self.name + MODULATED * self.modulated


@dataclass(frozen=True)
class FitOptions:
    """The options that decide a fit's result. `time_budget` is in seconds, from the process's start to the renamed file."""

    target: RateTarget = field(default_factory=RateTarget)
    preset: Preset = Preset("medium", PRESETS["medium"])
    model: Model = Model("cam")
    seed: int = 0
    time_budget: float | None = None

    def identity(self) -> tuple[str, ...]:
        """The options as texts; the form of each is frozen (see `RateTarget.identity`)."""
        return (self.target.identity(), repr(self.preset.name), repr(str(self.model)), repr(self.seed), repr(self.time_budget))


@dataclass(frozen=True)
class Selection:
    """The part of a source that is coded: frames (half-open), size, and a mask whose white pixels do not count in the loss."""

    frames: Span = (None, None)
    scale: Scale | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class Segmentation:
    """A long video in segments of `frames` frames (0: as many as the motion suggests); every `key_every`-th references no other."""

    frames: int
    key_every: int = 8


@dataclass(frozen=True)
class ReuseOptions:
    """The use that a further video of a bundle makes of earlier ones.

    `density` is the share of the claimed weights that it keeps (None: `train.plan.addition.density_of` decides), `corrections` whether
    its layer may change them, `every_layer` whether it references all layers or the first alone.
    """

    density: float | None = None
    corrections: bool = True
    every_layer: bool = False


@dataclass(frozen=True)
class RunOptions:
    """The place and time of a run. `started` is the process's start on the monotonic clock."""

    workdir: Path | None = None
    resume: bool = True
    overwrite: bool = False
    started: float | None = None

    def folder(self, output: Path) -> Path:
        """The folder in which a run that makes `output` keeps its state."""
        return self.workdir or output.with_name(output.name + ".work")


@dataclass(frozen=True)
class EncodeOptions:
    """All options of an encode; see `inr encode --help`. `reuse` is None unless the video goes into a bundle."""

    fit: FitOptions = field(default_factory=FitOptions)
    selection: Selection = field(default_factory=Selection)
    segmentation: Segmentation | None = None
    reuse: ReuseOptions | None = None
    run: RunOptions = field(default_factory=RunOptions)

    def identity(self, *facts: object) -> str:
        """The text that, besides the pixels, a run's key is made of: every option that decides the result, and `facts` of the run.

        The form is frozen: a finished file carries the key's hash, and another form would make it another run's.
        """
        reuse = () if self.reuse is None else (repr((self.reuse.density, self.reuse.corrections, self.reuse.every_layer)),)
        return f"({', '.join((*self.fit.identity(), *reuse, *map(repr, facts)))})"

    def with_fit(self, **changes: Any) -> "EncodeOptions":
        """The options with some of `fit`'s fields changed."""
        return replace(self, fit=replace(self.fit, **changes))

    def with_run(self, **changes: Any) -> "EncodeOptions":
        """The options with some of `run`'s fields changed."""
        return replace(self, run=replace(self.run, **changes))


TARGETS = {"quality": "quality", "target_size": "size", "target_bpp": "bpp", "target_bitrate": "bitrate", "target_psnr": "psnr"}


def encode_options(**keywords: Any) -> EncodeOptions:
    """Options from flat keywords, spelt as on the command line: `encode_options(target_bpp=0.05, preset="fast", frames=(0, 8))`.

    A target is given as at the shell ("120kB" or 120000). UsageError for a value that the shell would refuse, TypeError for an unknown
    keyword.
    """
    given = dict(keywords)
    target = {TARGETS[name]: given.pop(name) for name in list(given) if name in TARGETS}
    for name in ("size", "bitrate"):
        target[name] = str(target.get(name) or "")
    parsers = {"preset": Preset.parse, "model": Model.parse, "scale": Scale.parse}
    values: dict[str, Any] = {
        name: parsers[name](value) if name in parsers and isinstance(value, str) else value for name, value in given.items()
    }

    def part(kind: type) -> Any:
        return kind(**{name: values.pop(name) for name in list(values) if name in kind.__dataclass_fields__})

    fit = part(FitOptions)
    chunk, key_every = values.pop("chunk", None), values.pop("key_every", 8)
    reuse = part(ReuseOptions) if values.keys() & ReuseOptions.__dataclass_fields__.keys() else None
    selection, run = part(Selection), part(RunOptions)
    if values:
        raise TypeError(f"unknown options: {', '.join(values)}")
    segmentation = None if chunk is None else Segmentation(chunk, key_every)
    return EncodeOptions(replace(fit, target=checked_target(**target)), selection, segmentation, reuse, run)
