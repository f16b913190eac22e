"""Knowing one's own work again: what decides a run's result, as a hash."""

import hashlib
from dataclasses import asdict

import numpy as np

from codec.bitstream import ORIGIN_BYTES, VERSION
from inr.spec import HNeRVSpec
from inr.video import Video
from train.config import FitConfig


def run_key(video: Video, spec: HNeRVSpec, config: FitConfig, budget: float | None) -> str:
    """A hash of all that decides the result: pixels, timing, spec, config, time budget, format version.

    With a time budget the number of steps is left out: it is measured once, and then stands in the run's folder.
    """
    settings = asdict(config) | ({"steps": None} if budget else {})
    digest = hashlib.sha256(np.ascontiguousarray(video.frames).data)
    facts = (video.frames.shape, video.fps, video.colour, video.name, spec, settings, budget, VERSION)
    digest.update(repr(facts).encode())
    return digest.hexdigest()


def origin_of(key: str) -> bytes:
    """The part of a run's key that its finished file carries."""
    return bytes.fromhex(key)[:ORIGIN_BYTES]
