"""What a failed run of ffmpeg means: the source's fault for good, or this machine's for now. Computes only."""

from __future__ import annotations

import errno
import os
import re
import signal

from tidemill.errors import HandlerDied, HandlerError, Reject, RetryAfter

DISK_SECONDS = 60.0
"""How long to wait for a disk to be emptied."""

_COMPONENT = re.compile(r"^\[[^\]]*\] ?")
_CONSEQUENCE = re.compile(
    r"^(Error opening (input|output)( file|s:|ing)?\b|Conversion failed|Nothing was written|Task finished|Terminating)"
)
_FOREIGN = re.compile(
    r"Unknown (encoder|decoder)|No such filter|Unrecognized option|Option .* not found", re.IGNORECASE
)
_CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}


def failure(code: int, said: str, *, cpu_spent: bool) -> HandlerError:
    """The error for a run that failed.

    Args:
        code: Exit status; below 0 the signal that ended it, as `subprocess` has it.
        said: What it said on stderr.
        cpu_spent: Whether it has used up its processor time, upon which the kernel kills it.
    """
    if code < 0:
        return _killed(-code, cpu_spent)
    if os.strerror(errno.ENOSPC) in said:
        return RetryAfter(DISK_SECONDS, "The disk of the work folder is full.", hint="Look at TIDEMILL_VIDEO_WORK_DIR.")
    if os.strerror(errno.ENOMEM) in said:
        return Reject(
            "The video needs more memory than ffmpeg may take.",
            hint="Send a smaller version, or raise TIDEMILL_VIDEO_MAX_MEMORY_BYTES.",
        )
    if os.strerror(errno.EFBIG) in said:
        return _too_large()
    if _FOREIGN.search(said):
        return HandlerError(
            f"This ffmpeg lacks something that is needed: {reason(said)}.",
            hint="Unset TIDEMILL_VIDEO_FFMPEG to use the one of the package imageio-ffmpeg.",
            retriable=True,
        )
    return Reject(
        f"The video can't be decoded: {reason(said)}.",
        hint="Play it to its end; if it stops or flickers there, too, it is damaged.",
    )


def reason(said: str) -> str:
    """What went wrong, in ffmpeg's own words: the first lines that aren't mere consequences."""
    lines = [_COMPONENT.sub("", line.strip()) for line in said.splitlines()]
    causes = [line for line in lines if line and not _CONSEQUENCE.match(line)]
    shown = "; ".join(dict.fromkeys(causes[-3:])) or "ffmpeg gives no reason"
    return "".join(char if char.isprintable() else "?" for char in shown).rstrip(".")[:300]


def _killed(signum: int, cpu_spent: bool) -> HandlerError:
    if signum == signal.SIGXFSZ:
        return _too_large()
    if cpu_spent:
        return Reject(
            "The video needs more processor time than ffmpeg may take.",
            hint="Ask for fewer or smaller outputs, or raise TIDEMILL_VIDEO_MAX_CPU_SECONDS.",
        )
    name = signal.Signals(signum).name
    if signum in _CRASHES:
        return Reject(f"ffmpeg crashed on the video ({name}).", hint="Encode it anew with another program.")
    return HandlerDied(f"ffmpeg was ended by {name}.", hint="Perhaps the machine ran out of memory.")


def _too_large() -> Reject:
    return Reject(
        "A file became larger than ffmpeg may write.",
        hint="Ask for a smaller size or bit rate, or raise TIDEMILL_VIDEO_MAX_OUTPUT_BYTES.",
    )
