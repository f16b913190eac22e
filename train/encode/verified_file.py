"""Writes a file that is decoded and compared before it gets its name."""

from pathlib import Path

import numpy as np

from codec.bitstream import BitstreamError
from codec.decoder import decode
from codec.model import QuantizedModel
from inr.errors import VerifyError
from inr.files import temporary_name, write_atomically
from inr.pixels import Frames


def write_verified(data: bytes, model: QuantizedModel, output: Path) -> Frames:
    """Write the bytes `data`, decode and compare them with `model`, then rename the file to `output`; returns the last video's frames.

    VerifyError if the file does not decode to `model`; `output` then stays as it was.
    """
    output = output.resolve() if output.is_symlink() else output
    trial = temporary_name(output).with_suffix(".verify")
    try:
        write_atomically(trial, data)
        try:
            decoded = decode(trial.read_bytes())
        except BitstreamError as error:
            raise VerifyError("verify", f"the file just written does not decode: {error}", "try again; report it if it repeats") from error
        check_same(decoded, model)
        frames = decoded.render_entry(-1)
        trial.replace(output)
    finally:
        trial.unlink(missing_ok=True)
    return frames


def check_same(decoded: QuantizedModel, model: QuantizedModel) -> None:
    """Compare the dequantised values of all videos; VerifyError if one differs."""
    for index in range(len(model.videos)):
        expected, found = model.tensors(index), decoded.tensors(index)
        if expected.keys() != found.keys() or any(not np.array_equal(expected[name], found[name]) for name in expected):
            raise VerifyError("verify", "the decoded file differs from the encoder's model", "try again; report it if it repeats")
