"""Errors for users: each one names the problem, the limit that was exceeded, and a command that works.

Every error class has an exit code. The command line exits with this code if the library raises the error.
"""


class InrWarning(UserWarning):
    """A loss or a failure that ends no command; the command line prints it as one line."""


class MediaWarning(InrWarning):
    """A part of the source was dropped or changed while it was read or written."""


class StreamWarning(MediaWarning):
    """Something beside the pictures is not read with them; `inr encode` copies it."""


class StateWarning(InrWarning):
    """The state of a fit could not be saved, or a saved state could not be read."""


class InrError(Exception):
    """An error with a stable `identifier`, a message `what` that describes the problem, and a `fix`: a command or an option that works.

    `fix` is empty if no command can help.

    `exit_code` is the exit code of the command line: 2 usage, 3 input, 4 output, 5 bitstream, 6 target missed, 7 verification failed,
    8 resources, 1 for any other failure.
    """

    exit_code = 1

    def __init__(self, identifier: str, what: str, fix: str = ""):
        super().__init__(what)
        self.identifier = identifier
        self.what = what
        self.fix = fix


class UsageError(InrError):
    """Options contradict each other, or a value lies outside its range."""

    exit_code = 2


class InputError(InrError):
    """The input cannot be read, holds no picture, or has an unsupported format."""

    exit_code = 3


class OutputError(InrError):
    """The output cannot be written, or it exists already."""

    exit_code = 4


class TargetMissed(InrError):
    """The requested size or quality is out of reach."""

    exit_code = 6


class VerifyError(InrError):
    """The written file does not decode to the model that was encoded."""

    exit_code = 7


class ResourceError(InrError):
    """This machine has too little memory, or lacks a device that the command needs."""

    exit_code = 8
