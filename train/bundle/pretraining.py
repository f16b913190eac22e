"""Pretrains the first weight layer of a bundle on several videos at once; videos that are added later reference this layer.

Kernels that were fitted to one video are of little use to another. Kernels that were fitted to many videos at once, each with private
tensors of its own, suit all of them. These private tensors are dropped at the end: a video that is added later gets its own private
tensors, and a weight layer of its own that corrects the pretrained one. PFNR (Kang et al., ICLR 2024) has the same method as a baseline,
under the name of multi-task learning, but without the rate in the loss.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from codec.bitstream import Kind, assemble_file
from codec.bundle import BundleSettings, bundle_settings, has_network
from codec.decoder import decode_bundle
from codec.encoder import encode_layer
from codec.loading import read_file
from codec.model import WeightLayer
from codec.spec_fields import write_spec
from inr.errors import UsageError, VerifyError
from inr.files import locked, write_atomically
from inr.layout import layer_specs
from inr.reading import read_video
from inr.video import Video
from train.bundle.adding import check_bundle
from train.fit.checkpoint import Workdir
from train.fit.fitter import Fitter
from train.fit.interrupts import Interrupts, Preempted, StopRequest
from train.fit.joint_fitter import JointFitter
from train.fit.loop import LoopOutcome, run_loop
from train.fit.problem import Problem
from train.fit.progress import Progress, Reporter
from train.plan.addition import first_network
from train.plan.encode_plan import analyse_motion, planned_problem
from train.plan.fingerprint import run_key
from train.plan.initial_values import initial_values
from train.plan.memory import check_memory
from train.plan.network_size import shared_weights
from train.plan.options import EncodeOptions
from train.plan.presets import config_of

LEAST_VIDEOS = 2


@dataclass(frozen=True)
class Pretrained:
    """The outcome of a pretraining.

    The bundle `output` has `bytes` bytes, of which the weight layer takes `layer_bytes`. `steps` is the number of rounds, and `seconds`
    their duration. `psnr` is the mean PSNR of the videos in the last round, in decibels.
    """

    output: Path
    bytes: int
    layer_bytes: int
    steps: int
    psnr: float
    seconds: float


def pretrain_files(sources: list[Path], bundle: Path, options: EncodeOptions, reporter: Reporter | None = None) -> Pretrained:
    """Read videos from `sources` (video files, images, or folders or patterns of images) and pretrain on them by `pretrain`."""
    check_without_decoder(bundle)  # before any source is read
    selection = options.selection
    videos = [read_video(source, selection.frames, selection.scale) for source in sources]
    with locked(bundle, (reporter or Reporter()).say):
        return pretrain(videos, bundle, options, reporter)


def pretrain(videos: list[Video], bundle: Path, options: EncodeOptions, reporter: Reporter | None = None) -> Pretrained:
    """Fit one weight layer to all `videos` and put it into an empty bundle, as a layer that belongs to no video.

    UsageError if the bundle has a network already, or for fewer than two videos. VerifyError if the layer does not decode to the same
    values. A signal to leave, including Ctrl-C, saves the state and raises Preempted; the bundle does not change.
    """
    started, reporter, last = time.monotonic(), reporter or Reporter(), 0.0
    settings = bundle_settings(check_without_decoder(bundle))
    joint, workdir = prepare_joint_fit(videos, bundle, settings, options, "pretrain", reporter)
    with Interrupts() as interrupts, reporter.display as shown:

        def watch(progress: Progress) -> None:
            nonlocal last
            last = progress.psnr
            shown(progress)

        run_joint_fit(joint, workdir, watch, interrupts)
    layer = joint.models()[0].layers[0]
    data = pretrained_bundle(settings, joint, layer)
    decoded = decode_bundle(data).layers[0].tensors
    if any(not np.array_equal(tensor.values(), decoded[name].values()) for name, tensor in layer.tensors.items()):
        raise VerifyError("verify", "the decoded layer differs from the fitted one", "try again; report it if it repeats")
    write_atomically(bundle, data)
    workdir.remove()
    return Pretrained(
        bundle, len(data), len(encode_layer(layer, joint.fitters[0].problem.spec)), joint.steps, last, time.monotonic() - started
    )


def prepare_joint_fit(
    videos: list[Video], bundle: Path, settings: BundleSettings, options: EncodeOptions, purpose: str, reporter: Reporter
) -> tuple[JointFitter, Workdir]:
    """A joint fit of all videos before its first round, and the folder of its run; UsageError for fewer than two videos.

    `purpose`, 'joint' or 'pretrain', is a part of the run's key.
    """
    if len(videos) < LEAST_VIDEOS:
        fix = f"inr bundle add '{bundle}' VIDEO   for a single one"
        raise UsageError("too-few", "a joint fit needs at least two videos", fix)
    keys = [run_key(video, options.identity()) for video in videos]
    folder = options.run.folder(bundle)
    workdir = Workdir(folder, run_key(videos[0], options.identity(purpose, *keys)), fresh=not options.run.resume)
    joint = JointFitter(make_fitters(videos, keys, settings, options))
    spec, count = joint.fitters[0].problem.spec, len(videos)
    reporter.say(f"{count} videos share {shared_weights(spec)} weights; {joint.steps} steps for each video")
    return joint, workdir


def make_fitters(videos: list[Video], keys: list[str], settings: BundleSettings, options: EncodeOptions) -> list[Fitter]:
    """A fit for each video before its first step, all with the network that is planned for the first video's rate.

    Tensors of the shared layer that start at a value of the video, such as its mean colour, start at the mean over all videos.
    """
    problems: list[Problem] = []
    initial: list[dict[str, np.ndarray]] = []
    for video, key in zip(videos, keys, strict=True):
        path, described = analyse_motion(video, options.fit)
        target = options.fit.target.resolved(described)
        bpp = target.nominal_bpp(described)
        problem = planned_problem(described, options.fit, bpp, key)
        spec = problems[0].spec if problems else first_network(settings, problem.spec, described, bpp)
        target_bpp = None if target.target_bytes is None else bpp
        config = config_of(spec, described, bpp, options.fit)
        config = replace(config, num_sharing_videos=len(videos), target_bpp=target_bpp, target_psnr=target.target_psnr)
        check_memory(spec, described, config)
        problems.append(replace(problem, spec=spec, config=config))
        initial.append(initial_values(spec, described, video.frames, path))
    shared = {tensor.name for tensor in layer_specs(problems[0].spec)} & initial[0].keys()
    common = {name: np.mean([values[name] for values in initial], axis=0) for name in shared}
    made = zip(problems, videos, initial, strict=True)
    return [Fitter(problem, video, initial_values=values | common) for problem, video, values in made]


def run_joint_fit(joint: JointFitter, workdir: Workdir, watch: Callable[[Progress], None], interrupts: Interrupts) -> LoopOutcome:
    """Run a joint fit to its last round, from the state in `workdir` if it holds one.

    A signal to leave saves the state and raises Preempted; so does Ctrl-C, because a part of a joint fit is of no use.
    """
    return run_loop(joint, workdir, watch, lambda: interrupts.request_by(float("inf"), whole=True))


def leave_if_asked(joint: JointFitter, workdir: Workdir, interrupts: Interrupts) -> None:
    """Save the state and raise Preempted if a signal, including Ctrl-C, has asked to leave."""
    if interrupts.request_by(float("inf"), whole=True) is not StopRequest.NOTHING:
        workdir.save(joint.snapshot())
        raise Preempted


def pretrained_bundle(settings: BundleSettings, joint: JointFitter, layer: WeightLayer) -> bytes:
    """The bytes of a bundle without videos, whose first weight layer is `layer`."""
    spec = joint.fitters[0].problem.spec
    records = replace(settings, pretrained=True).records
    return assemble_file([*records, (Kind.SPEC, write_spec(spec)), (Kind.LAYER, encode_layer(layer, spec))])


def check_without_decoder(bundle: Path) -> bytes:
    """The bytes of a bundle without a network; InputError if there is no such file, UsageError if the bundle has one already."""
    check_bundle(bundle)
    data = read_file(bundle)
    if has_network(data):
        raise UsageError(
            "has-decoder",
            f"'{bundle}' has a decoder already; nothing was changed",
            "inr bundle create OTHER.inr   then the same command there",
        )
    return data
