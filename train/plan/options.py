"""The options of an encode as a few frozen objects; each package of `train` gets only the object that it needs.

`FitOptions` and `ReuseOptions` determine the result, so `EncodeOptions.identity` contains them. `Selection` determines the pixels, of which
a run's key contains a hash. `RunOptions` determine place and time of a run, but never its result.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inr.errors import UsageError
from inr.scale import Scale
from inr.span import Span, parse_span
from train.fit.target import RateTarget, checked_target
from train.plan.paper_networks import NIRVANA_SEGMENT
from train.plan.texts import at_least, device_count, one_of, seconds, segment_frames

PRESETS = {"fast": 2500, "medium": 10_000, "slow": 32_000}  # steps of a fit without a time budget
AUTO = "auto"  # the model that suits a source: "cam" or "tree"
MODELS = (AUTO, "cam", "tree", "hnerv", "nerv", "nerv++", "ffnerv", "nirvana", "siren", "ffn")
STREAMS = ("auto", "copy", "none")  # auto: they are copied unless they take more than half of a cap
CANVAS_MODELS = (AUTO, "cam")  # where nothing chooses, AUTO means "cam"
PICTURE_MODELS = ("siren", "ffn")  # coordinate networks, which draw one picture
MODULATED = "+cam"  # after the name of a paper's network: norm and CAM are added


@dataclass(frozen=True)
class Preset:
    """A number of steps; `name` is its spelling on the command line: 'fast', 'medium', 'slow', or the number itself."""

    name: str
    steps: int

    @classmethod
    def parse(cls, text: str) -> "Preset":
        """The preset 'fast', 'medium' or 'slow', or that of a number of steps; UsageError for any other text."""
        if text.isdecimal() and int(text) > 0:
            return cls(text, int(text))
        if text not in PRESETS:
            raise UsageError("unknown-choice", f"--preset {text}: it is one of {', '.join(PRESETS)}, or a number of steps", "--preset fast")
        return cls(text, PRESETS[text])

    @property
    def most_steps(self) -> float:
        """The most steps of a fit with a time budget: those of a preset that is a number, else infinity."""
        return math.inf if self.name in PRESETS else self.steps


@dataclass(frozen=True)
class Model:
    """A family of networks by name, and whether norm and CAM are added to a paper's network."""

    name: str
    modulated: bool = False

    @classmethod
    def parse(cls, text: str, modulated: bool = False) -> "Model":
        """The model of a text such as 'hnerv' or 'hnerv+cam'; UsageError for an unknown name.

        `modulated` has the same effect as '+cam'. It has no effect on the default family, which has norm and CAM anyway.
        """
        name = text.removesuffix(MODULATED)
        if name not in MODELS:
            raise UsageError("unknown-choice", f"--model {text}: it is one of {', '.join(MODELS)}", "--model cam")
        if name == "siren" and (modulated or name != text):
            raise UsageError("no-blocks", "SIREN has no blocks that CAM could modulate", "--model ffn --cam")
        if name == "tree" and (modulated or name != text):
            raise UsageError("no-blocks", "a tree has no blocks that CAM could modulate: its motion is modulated by itself", "--model tree")
        return cls(name, name not in CANVAS_MODELS and (modulated or name != text))

    def __str__(self) -> str:
        return self.name + MODULATED * self.modulated


@dataclass(frozen=True)
class FitOptions:
    """The options that determine the result of a fit.

    `time_budget` is in seconds, from the start of the process to the finished file (None: no time budget).
    """

    target: RateTarget = field(default_factory=RateTarget)
    preset: Preset = Preset("medium", PRESETS["medium"])
    model: Model = Model(AUTO)
    seed: int = 0
    time_budget: float | None = None

    def identity(self) -> tuple[str, ...]:
        """The options as texts, a part of a run's key. Their form must not change (see `RateTarget.identity`)."""
        model = "cam" if self.model.name == AUTO else str(self.model)
        return (self.target.identity(), repr(self.preset.name), repr(model), repr(self.seed), repr(self.time_budget))


@dataclass(frozen=True)
class Selection:
    """The part of a source that is encoded.

    `frames` is a half-open range of frames. `scale` gives the size of the picture (None: that of the source). The white pixels of `mask`
    have no weight in the loss. `streams` tells whether sound, subtitles, chapters and times of frames are copied; see `STREAMS`.
    """

    frames: Span = (None, None)
    scale: Scale | None = None
    mask: Path | None = None
    streams: str = STREAMS[0]


@dataclass(frozen=True)
class Segmentation:
    """The segments of a long video, of `frames` frames each (0: of lengths that follow the motion).

    Every `key_every`-th segment references no other segment.
    """

    frames: int
    key_every: int = 8


@dataclass(frozen=True)
class ReuseOptions:
    """The options for the use of earlier videos' weights by a further video of a bundle.

    `density` is the share of the claimed weights that the video keeps, 0 to 1 (None: `train.plan.addition.density_of` chooses it).
    `corrections` tells whether the video's own layer may change claimed weights. `every_layer` tells whether the video references all
    layers or only the first.
    """

    density: float | None = None
    corrections: bool = True
    every_layer: bool = False


@dataclass(frozen=True)
class RunOptions:
    """The place and time of a run.

    `workdir` is the folder of its state (None: a folder beside the output). `resume` tells whether an unfinished run continues, `overwrite`
    whether an existing file may be replaced. `started` is the start of the process in seconds of the monotonic clock (None: the start of
    the call). `devices` is the most devices that share the frames of each batch. `whole` tells whether a part of a fit is of no use:
    after Ctrl-C, the run then saves its state and raises Preempted.
    """

    workdir: Path | None = None
    resume: bool = True
    overwrite: bool = False
    started: float | None = None
    devices: int = 1
    whole: bool = False

    def folder(self, output: Path) -> Path:
        """The folder that keeps the state of a run whose output is `output`."""
        return self.workdir or output.with_name(output.name + ".work")


@dataclass(frozen=True)
class EncodeOptions:
    """All options of an encode; see `inr encode --help`. `reuse` is None unless the video is added to a bundle."""

    fit: FitOptions = field(default_factory=FitOptions)
    selection: Selection = field(default_factory=Selection)
    segmentation: Segmentation | None = None
    reuse: ReuseOptions | None = None
    run: RunOptions = field(default_factory=RunOptions)

    def identity(self, *facts: object) -> str:
        """The options' part of a run's key: the text of every option that determines the result, and of further `facts`.

        Its form must not change: a finished file contains a hash of the key, and a run recognises its file by this hash.
        """
        reuse = () if self.reuse is None else (repr((self.reuse.density, self.reuse.corrections, self.reuse.every_layer)),)
        return f"({', '.join((*self.fit.identity(), *reuse, *map(repr, facts)))})"

    def with_fit(self, **changes: Any) -> "EncodeOptions":
        """The same options with other values for some fields of `fit`."""
        return replace(self, fit=replace(self.fit, **changes))

    def with_run(self, **changes: Any) -> "EncodeOptions":
        """The same options with other values for some fields of `run`."""
        return replace(self, run=replace(self.run, **changes))


# Keywords of `encode_options`, and the parameters of `checked_target` that they give.
TARGETS = {"quality": "quality", "target_size": "size", "target_bpp": "bpp", "target_bitrate": "bitrate", "target_psnr": "psnr"}
PARSERS: dict[str, Callable[[str], Any]] = {  # keywords whose values can be texts as on the command line
    "preset": Preset.parse,
    "scale": Scale.parse,
    "frames": parse_span,
    "time_budget": seconds,
    "chunk": segment_frames,
    "devices": device_count,
    "resume": lambda text: one_of("--resume", text, ("auto", "never")) == "auto",
    "mask": Path,
    "streams": lambda text: one_of("--streams", text, STREAMS),
    "workdir": Path,
}


def encode_options(**keywords: Any) -> EncodeOptions:
    """Options from keywords, which are named as on the command line: `encode_options(target_bpp=0.05, preset="fast", frames=(0, 8))`.

    A value may be a text as on the command line: "120kB", "10m", "0:8". Else `target_size` is in bytes, `time_budget` in seconds, `frames`
    a pair, and `chunk` the number of frames of a segment (0: by motion). `cam` adds CAM to a paper's network. UsageError for a value that
    the command line refuses, TypeError for an unknown keyword.
    """
    given = {name: PARSERS[name](value) if name in PARSERS and isinstance(value, str) else value for name, value in keywords.items()}
    target = {TARGETS[name]: given.pop(name) for name in list(given) if name in TARGETS}
    for name in ("size", "bitrate"):
        target[name] = str(target.get(name) or "")
    modulated, model = given.pop("cam", False), given.get("model")
    if isinstance(model, str):
        given["model"] = Model.parse(model, modulated)
    if (density := given.get("density")) is not None and not 0 <= density <= 1:
        raise UsageError("density-range", f"--density {density} lies outside 0..1", "--density 1")

    def part(kind: type) -> Any:
        return kind(**{name: given.pop(name) for name in list(given) if name in kind.__dataclass_fields__})

    fit = part(FitOptions)
    chunk, key_every = given.pop("chunk", None), at_least("--key-every", given.pop("key_every", 8), 1)
    if fit.model.name == "nirvana" and chunk is None:
        chunk = NIRVANA_SEGMENT
    reuse = part(ReuseOptions) if given.keys() & ReuseOptions.__dataclass_fields__.keys() else None
    selection, run = part(Selection), part(RunOptions)
    if given:
        raise TypeError(f"unknown options: {', '.join(given)}")
    segmentation = None if chunk is None else Segmentation(chunk, key_every)
    return EncodeOptions(replace(fit, target=checked_target(**target)), selection, segmentation, reuse, run)
