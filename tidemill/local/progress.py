"""How the local stack tells what it is doing: a small protocol, so that the library prints nothing by itself."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives what happens while the stack starts or stops. Called from several threads while files are fetched."""

    def stage(self, text: str) -> None:
        """A new stage began, e.g. `Starting Kafka 4.3.1`."""

    def fetch_started(self, title: str, total_bytes: int) -> None:
        """The files of a program, in all `total_bytes`, are fetched from now on."""

    def fetch_advanced(self, title: str, byte_count: int) -> None:
        """So many bytes more; negative when a file has to be fetched again."""

    def fetch_finished(self, title: str) -> None:
        """All files of the program are here and verified."""


class Silent:
    """Progress that nobody watches."""

    def stage(self, text: str) -> None:
        """Nothing is shown."""

    def fetch_started(self, title: str, total_bytes: int) -> None:
        """Nothing is shown."""

    def fetch_advanced(self, title: str, byte_count: int) -> None:
        """Nothing is shown."""

    def fetch_finished(self, title: str) -> None:
        """Nothing is shown."""
