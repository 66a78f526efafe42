"""Where the local stack keeps what, inside the state folder. Paths only; makes and reads nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tidemill.config import STACK_FILE


@dataclass(frozen=True)
class Layout:
    """Paths of one state folder.

    Args:
        state_dir: The folder, `settings.state_dir`.
    """

    state_dir: Path

    @property
    def stack_file(self) -> Path:
        """What runs; there only while the stack is up."""
        return self.state_dir / STACK_FILE

    @property
    def lock_file(self) -> Path:
        """Held while a command starts or stops the stack."""
        return self.state_dir / "stack.lock"

    @property
    def cluster_file(self) -> Path:
        """For which cluster id and how many brokers the data was formatted."""
        return self.state_dir / "kafka" / "cluster.json"

    def broker_data(self, node: int) -> Path:
        """Topics' data of a broker."""
        return self.state_dir / "kafka" / f"broker-{node}"

    def broker_config(self, node: int) -> Path:
        """A broker's settings; written at every start."""
        return self.state_dir / "kafka" / f"broker-{node}.properties"

    @property
    def registry_database(self) -> Path:
        """The registry's database, without the ending that H2 adds."""
        return self.state_dir / "registry" / "schemas"

    @property
    def mail_dir(self) -> Path:
        """The mailbox's mails."""
        return self.state_dir / "mail"

    @property
    def log_dir(self) -> Path:
        """Logs of all programs."""
        return self.state_dir / "logs"

    def log(self, name: str) -> Path:
        """Log of one program."""
        return self.log_dir / f"{name}.log"

    @property
    def temporary_dir(self) -> Path:
        """Scratch space of the programs; emptied at every start."""
        return self.state_dir / "tmp"

    @property
    def data_dirs(self) -> tuple[Path, ...]:
        """What `tidemill down --wipe` deletes: topics, schemas, mails, logs and scratch; not the object store."""
        return (self.state_dir / "kafka", self.state_dir / "registry", self.mail_dir, self.log_dir, self.temporary_dir)
