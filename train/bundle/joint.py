"""Adds several videos to an empty bundle at once, on one weight layer that is fitted to all of them: `inr bundle add --joint`.

A video that is added alone finds kernels that were fitted to another video, and needs a layer of its own to change them. A joint fit finds
kernels for all videos, which the file holds once. The shared layer is quantised after the joint fit and does not change any more. The
private tensors of each video, and a small layer of corrections, are then brought to the video's target, on the shared layer as every
decoder reads it.
"""

import time
from dataclasses import replace
from pathlib import Path

from codec.bundle import bundle_settings, fingerprint_of_video, has_network
from codec.decoder import decode, decode_bundle
from codec.evaluation import compare
from codec.loading import read_file
from inr.errors import TargetMissed, UsageError
from inr.files import locked, write_atomically
from inr.reading import read_video
from inr.video import Video
from train.bundle.adding import check_bundle
from train.bundle.pretraining import check_without_decoder, leave_if_asked, prepare_joint_fit, pretrained_bundle, run_joint_fit
from train.encode.outcome import Encoded
from train.encode.verified_file import check_same
from train.fit.base_layers import BaseLayers
from train.fit.candidate import Candidate, RateControlSetup
from train.fit.fitter import Fitter
from train.fit.interrupts import Interrupts
from train.fit.joint_fitter import JointFitter
from train.fit.loop import Fitted
from train.fit.problem import Problem
from train.fit.progress import Reporter
from train.fit.rate_control import control_rate
from train.fit.target import RateTarget
from train.plan.addition import least_growth
from train.plan.fingerprint import fingerprint_of, run_key
from train.plan.options import EncodeOptions


def add_files_jointly(sources: list[Path], bundle: Path, options: EncodeOptions, reporter: Reporter | None = None) -> list[Encoded]:
    """Read videos from `sources` (video files, images, or folders or patterns of images) and add them by `add_jointly`."""
    check_bundle(bundle)
    selection = options.selection
    videos = [read_video(source, selection.frames, selection.scale) for source in sources]
    with locked(bundle, (reporter or Reporter()).say):
        return add_jointly(videos, bundle, options, reporter)


def add_jointly(videos: list[Video], bundle: Path, options: EncodeOptions, reporter: Reporter | None = None) -> list[Encoded]:
    """Fit `videos` on one shared weight layer and put them into an empty bundle; returns an outcome for each of them.

    The list is empty if the same run has added the videos before. A size or rate is that of each video, including its part of the shared
    layer; the reported bytes of all videos add up to those of the file. UsageError if the bundle has a network already, for fewer than two
    videos, for a video without a name, or for two videos of the same name. A signal to leave, including Ctrl-C, saves the state and raises
    Preempted; the bundle does not change.
    """
    started, reporter = time.monotonic(), reporter or Reporter()
    options = replace(options, reuse=None)  # there is no earlier video to reuse
    check_names(videos)
    others = [run_key(video, "") for video in videos]
    fingerprints = [fingerprint_of(run_key(video, options.identity("joint", *others))) for video in videos]
    if is_added_jointly(bundle, fingerprints):
        return []
    settings = bundle_settings(check_without_decoder(bundle))
    joint, workdir = prepare_joint_fit(videos, bundle, settings, options, "joint", reporter)
    check_caps(joint, bundle, options)
    with Interrupts() as interrupts, reporter.display as shown:
        outcome = run_joint_fit(joint, workdir, shown, interrupts)
        workdir.save(joint.snapshot())
        data = pretrained_bundle(settings, joint, joint.models()[0].layers[0])
        base, done = BaseLayers(data, decode_bundle(data)), list[Encoded]()
        for at, video in enumerate(videos):
            leave_if_asked(joint, workdir, interrupts)
            part = len(data) // len(videos) + (at < len(data) % len(videos))
            target = options.fit.target.resolved(joint.fitters[at].problem.video)
            found, problem = control_video_rate(
                joint, at, base, RateControlSetup(video, with_part_paid(target, part), fingerprints[at]), reporter
            )
            done.append(
                Encoded(
                    output=bundle,
                    report=compare(found.model.render_entry(-1), video.frames, found.size + part),
                    problem=problem,
                    target=target,
                    estimated_bits=found.estimated_bits + 8 * part,
                    steps=joint.steps,
                    seconds=time.monotonic() - started,
                    seconds_to_first_step=outcome.first_chunk - started,
                    step_seconds=outcome.step_seconds / len(videos),
                    interrupted=False,
                    model=found.model,
                )
            )
            base = BaseLayers(found.data, replace(found.model, fingerprints=base.fingerprints + fingerprints[at]))
    check_same(decode(base.data), base.model)
    write_atomically(bundle, base.data)
    workdir.remove()
    return done


def check_names(videos: list[Video]) -> None:
    """Check the names of videos; UsageError if a video has no name, or if two have the same name."""
    names = [video.name for video in videos]
    if not all(names) or len(set(names)) < len(names):
        raise UsageError("duplicate-name", f"videos in a bundle need a name each: {names}", "rename a file: a video is called after it")


def is_added_jointly(bundle: Path, fingerprints: list[bytes]) -> bool:
    """Whether `fingerprints` are those of the first videos in the bundle, which the same run has then added."""
    check_bundle(bundle)
    data = read_file(bundle)
    model = decode_bundle(data) if has_network(data) else None
    return model is not None and [fingerprint_of_video(model, at) for at in range(len(fingerprints))] == fingerprints


def check_caps(joint: JointFitter, bundle: Path, options: EncodeOptions) -> None:
    """Check the caps before the fit; TargetMissed if a video with symbols that are all zero does not fit under its cap."""
    for fitter in joint.fitters:
        cap, least = options.fit.target.cap(fitter.problem.video), fitter.problem.overhead_bits // 8
        if cap is not None and cap < least:
            what = f"{cap} bytes is below what any video takes in '{bundle}': {least} bytes"
            raise TargetMissed("target-too-small", what, f"--target-size {2 * least}")


def with_part_paid(target: RateTarget, part: int) -> RateTarget:
    """A resolved target from whose cap `part` is subtracted: the video's part of the shared layer, in bytes."""
    return target if target.target_bytes is None else replace(target, target_bytes=target.target_bytes - part)


def control_video_rate(
    joint: JointFitter, at: int, base: BaseLayers, setup: RateControlSetup, reporter: Reporter
) -> tuple[Candidate, Problem]:
    """Bring one video's private tensors from the joint fit to the video's target, on the shared layer in `base`.

    `at` is the index of the video in `joint`. The result is the video's file, and the problem of its fit. TargetMissed if the shared layer
    leaves too few bytes of the video's cap.
    """
    fitter, video, cap = joint.fitters[at], setup.video, setup.target.target_bytes
    least = least_growth(base, fitter.problem.video)
    if cap is not None and cap < least:
        what = f"the shared layer leaves '{video.name}' {max(cap, 0)} bytes of its cap; the video needs at least {least} bytes"
        raise TargetMissed("size-unreachable", what, "a larger target, or a longer fit: --preset medium")
    config = replace(fitter.problem.config, num_sharing_videos=1)
    problem = replace(fitter.problem, config=config, overhead_bits=8 * least)
    private = Fitter(problem, video, base)
    private.state = joint.private_state(at)
    model = private.model()
    fitted = Fitted(model, private.estimated_bits(model), config.steps, 0.0, False, private.state)
    return control_rate(private, fitted, setup, reporter.about(video.name).say), problem
