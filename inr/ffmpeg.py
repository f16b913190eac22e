"""PyAV, the bindings of FFmpeg's libraries, checked before their first use."""

from types import ModuleType

from inr.errors import InrError

LEAST_MAJOR = 17  # version of PyAV: the first one whose frames tell all their colour tags


def pyav() -> ModuleType:
    """The module `av`; InrError if its version is too old.

    Its log is off. Otherwise a decoder thread that logs an error waits for the interpreter's lock. The thread that closes the decoder holds
    this lock while it waits for the decoder threads, so both threads would wait forever.
    """
    import av

    if int(av.__version__.split(".")[0]) < LEAST_MAJOR:
        what = f"av {av.__version__} ('{av.__file__}') is too old; {LEAST_MAJOR} or newer is needed"
        raise InrError("old-av", what, f"pip install 'av>={LEAST_MAJOR}'")
    av.logging.set_level(None)
    return av
