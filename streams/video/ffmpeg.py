"""Runs ffmpeg as a confined child: killed in time and with its parent, its words bounded, its failure an error.

It gets the source as an open file and not as a name, and its demuxers may open nothing else (`source_options`), so
that no file leads it to another file or to the network.
"""

from __future__ import annotations

import os
import resource
import selectors
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import IO

from streams.video.codecs import DECODERS
from streams.video.confined import Limits, confined
from streams.video.failure import failure
from streams.video.settings import VideoSettings
from tidemill.errors import ConfigError, HandlerTimeout

KEPT_BYTES = 128 * 1024
"""Of what ffmpeg says, so much of the beginning and so much of the end is kept."""


class Ffmpeg:
    """ffmpeg, and the time that it may take.

    Args:
        settings: Limits.
        deadline: When it must have ended, by `time.monotonic()`.

    Raises:
        ConfigError: There is no ffmpeg.
    """

    def __init__(self, settings: VideoSettings, deadline: float) -> None:
        self._executable = executable(settings)
        self._settings = settings
        self._deadline = deadline

    def run(
        self,
        source: Path,
        inputs: Sequence[Sequence[str]],
        arguments: Sequence[str],
        *,
        log_level: str = "error",
        on_progress: Callable[[float], None] = lambda _: None,
    ) -> str:
        """Run it once.

        Args:
            source: The file that it reads.
            inputs: For each time that it opens the source: options, e.g. where to begin.
            arguments: What follows: filters, outputs and their options.
            log_level: How much it says.
            on_progress: Called with the seconds of video that it has written.

        Returns:
            What it said.

        Raises:
            HandlerTimeout: It wasn't done at the deadline.
            Reject: It could not do it, because of the source.
            HandlerError: It could not do it, because of this machine.
        """
        files = [source.open("rb") for _ in inputs]
        try:
            command = [str(self._executable), "-hide_banner", "-nostdin", "-nostats", "-loglevel", log_level]
            for file, options in zip(files, inputs, strict=True):
                command += [*source_options(self._settings), *options, "-fd", str(file.fileno()), "-i", "fd:"]
            return self._run([*command, "-progress", "pipe:1", *arguments], files, on_progress)
        finally:
            for file in files:
                file.close()

    def _run(self, command: list[str], files: Sequence[IO[bytes]], on_progress: Callable[[float], None]) -> str:
        settings = self._settings
        limits = Limits(settings.max_cpu_seconds, settings.max_memory_bytes, settings.max_output_bytes)
        cpu_before = _cpu_seconds_of_children()
        # Not in a session of its own: whoever kills this process's group takes it along.
        child = subprocess.Popen(
            confined(limits, command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[file.fileno() for file in files],
        )
        try:
            said = self._listen(child, on_progress)
            child.wait(max(0.0, self._deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired) as error:
            raise HandlerTimeout(
                "ffmpeg was not done in time and was killed.",
                hint="Ask for fewer or smaller outputs, or raise TIDEMILL_VIDEO_MAX_WALL_SECONDS.",
            ) from error
        finally:
            child.kill()
            child.wait()
            for pipe in (child.stdout, child.stderr):
                if pipe is not None:
                    pipe.close()
        if child.returncode != 0:
            # The kernel counts by the nanosecond here and by the tick there, which on a busy machine may be ahead by
            # some tenths of a second.
            cpu_spent = _cpu_seconds_of_children() - cpu_before >= 0.9 * limits.cpu_seconds - 0.4
            raise failure(child.returncode, said, cpu_spent=cpu_spent)
        return said

    def _listen(self, child: subprocess.Popen[bytes], on_progress: Callable[[float], None]) -> str:
        """Read both pipes until they are closed; returns what it said on stderr."""
        said = bytearray()
        progress = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout or 0, selectors.EVENT_READ, progress)
            selector.register(child.stderr or 0, selectors.EVENT_READ, said)
            while selector.get_map():
                remaining = self._deadline - time.monotonic()
                if remaining <= 0:
                    raise TimeoutError
                for key, _ in selector.select(remaining):
                    chunk = os.read(key.fd, 65_536)
                    if not chunk:
                        selector.unregister(key.fileobj)
                    key.data.extend(chunk)
                if len(said) > 4 * KEPT_BYTES:
                    said[KEPT_BYTES:-KEPT_BYTES] = b"\n[...]\n"
                *lines, rest = bytes(progress).split(b"\n")
                progress[:] = rest[-KEPT_BYTES:]
                for line in lines:
                    name, _, value = line.partition(b"=")
                    if name == b"out_time_us" and value.strip().lstrip(b"-").isdigit():
                        on_progress(max(0.0, int(value) / 1_000_000))
        return said.decode("utf-8", "replace")


def source_options(settings: VideoSettings) -> list[str]:
    """Options of an input that let ffmpeg read open files in the allowed formats and codecs, and nothing else."""
    return [
        *("-protocol_whitelist", "fd"),
        *("-format_whitelist", ",".join(settings.formats)),
        *("-codec_whitelist", DECODERS),
        # One more than is taken, so that too many can be told from enough.
        *("-max_streams", str(settings.max_streams + 1)),
        # A picture's size can change in the middle of a stream, long after its header was checked.
        *("-max_pixels", str(settings.max_side**2)),
        *("-threads", str(settings.threads)),
        *("-t", f"{settings.max_seconds + 1:g}"),
    ]


def _cpu_seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def executable(settings: VideoSettings) -> Path:
    """Where ffmpeg is.

    Raises:
        ConfigError: Neither the setting nor the package names one that can be run.
    """
    found = settings.ffmpeg or _packaged()
    if not os.access(found, os.X_OK) or not found.is_file():
        raise ConfigError(
            f"There is no ffmpeg at {found}.",
            hint="Install the package imageio-ffmpeg, which carries one, or set TIDEMILL_VIDEO_FFMPEG.",
        )
    return found.absolute()


@cache
def _packaged() -> Path:
    import imageio_ffmpeg

    try:
        # Not get_ffmpeg_exe(), which takes whatever it finds on the PATH where the package carries none.
        (found,) = (Path(imageio_ffmpeg.__file__).parent / "binaries").glob("ffmpeg-*")
    except ValueError as error:
        raise ConfigError(
            "The package imageio-ffmpeg carries no ffmpeg for this machine.",
            hint="Set TIDEMILL_VIDEO_FFMPEG to one of version 7 or newer.",
        ) from error
    return found
