"""Errors a person can act on: what went wrong, the limit, and a command that works.

Every error knows the exit code of the command line, so that library and shell agree on what failed.
"""


class MediaWarning(UserWarning):
    """Something of the source was dropped or changed on the way in or out."""


class InrError(Exception):
    """An error with a stable identifier, a sentence that says what, and a fix.

    `exit_code` follows the command line's contract: 2 usage, 3 input, 4 output, 5 bitstream,
    6 target missed, 7 verification failed, 8 resources.
    """

    exit_code = 1

    def __init__(self, identifier: str, what: str, fix: str = ""):
        super().__init__(what)
        self.identifier = identifier
        self.what = what
        self.fix = fix


class UsageError(InrError):
    """The options contradict each other or lie outside their range."""

    exit_code = 2


class InputError(InrError):
    """The input cannot be read, holds no picture, or is of an unsupported kind."""

    exit_code = 3


class OutputError(InrError):
    """The output may not be written, or exists already."""

    exit_code = 4


class TargetMissed(InrError):
    """The size or quality asked for is out of reach."""

    exit_code = 6


class VerifyError(InrError):
    """The written file does not decode to what the encoder meant."""

    exit_code = 7


class ResourceError(InrError):
    """This machine lacks the memory or the device that the job needs."""

    exit_code = 8
