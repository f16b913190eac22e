"""The key of a run: a hash by which an encoder recognises its own finished file and its own unfinished work."""

import hashlib

import numpy as np

from codec.bitstream import DRAFT, FINGERPRINT_BYTES, VERSION
from inr.video import Video


def run_key(video: Video, identity: str) -> str:
    """A SHA-256 hash in hexadecimal of all that determines the result of a run.

    This is: pixels, frame rate, colour tags, name and pixel aspect of `video`, the options' `identity`, and the format's version and draft.
    The hash leaves out facts that are measured once and kept in the run's folder: the number of steps that follows from a time budget, and
    the rate that a target PSNR is expected to need.
    """
    digest = hashlib.sha256(np.ascontiguousarray(video.frames).data)
    facts = (video.frames.shape, video.fps, video.colour, video.name)
    facts += () if video.pixel_aspect == 1 else (video.pixel_aspect,)  # keys of square pixels stay as they were
    digest.update(f"({', '.join(map(repr, facts))}, {identity}, {VERSION}, {DRAFT})".encode())
    return digest.hexdigest()


def fingerprint_of(key: str) -> bytes:
    """The part of a run's key that the finished file contains: its first FINGERPRINT_BYTES bytes."""
    return bytes.fromhex(key)[:FINGERPRINT_BYTES]
