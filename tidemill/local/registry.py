"""What the schema registry of the local stack is: Apicurio's command line, computed, nothing started.

Listens on 127.0.0.1 only; keeps schemas in an H2 file, so that they and their ids survive a restart.
"""

from __future__ import annotations

from pathlib import Path

from tidemill.local import java
from tidemill.local.layout import Layout
from tidemill.local.ports import HOST
from tidemill.local.program import Program, marks


def url(port: int) -> str:
    """Address of its Confluent-compatible API."""
    return f"http://{HOST}:{port}/apis/ccompat/v7"


def system_properties(layout: Layout, port: int, management_port: int) -> dict[str, str]:
    """Apicurio's settings, as Java system properties.

    Args:
        layout: Where its database is.
        port: Port of the API.
        management_port: Port of health and metrics, which can't be turned off at run time.
    """
    return {
        "quarkus.http.host": HOST,
        "quarkus.http.port": str(port),
        # By default on 0.0.0.0:9000.
        "quarkus.management.host": HOST,
        "quarkus.management.port": str(management_port),
        "quarkus.http.access-log.enabled": "false",
        "quarkus.banner.enabled": "false",
        # Its own pattern prints the date as `2026-11+00-24`.
        "quarkus.log.console.format": "%d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %m (%c{1})%n%e",
        "apicurio.storage.kind": "sql",
        "apicurio.storage.sql.kind": "h2",
        # H2 writes half a second after the commit by default; a registered schema must survive a kill.
        "apicurio.datasource.url": f"jdbc:h2:file:{layout.registry_database};WRITE_DELAY=0",
        "apicurio.datasource.jdbc.initial-size": "2",
        "apicurio.datasource.jdbc.min-size": "2",
        "apicurio.datasource.jdbc.max-size": "20",
        "apicurio.storage.snapshot.location": str(layout.temporary_dir),
    }


def program(
    folder: Path, layout: Layout, port: int, management_port: int, stack_id: str, java_options: tuple[str, ...]
) -> Program:
    """The registry as a program to run.

    Args:
        folder: Apicurio, unpacked.
        layout: Where its database and log are.
        port: Port of the API.
        management_port: Port of health and metrics.
        stack_id: The stack that it is part of.
        java_options: Memory and collector.
    """
    command = (
        *java.command(java_options, temporary_dir=layout.temporary_dir, log_dir=layout.log_dir),
        *marks(stack_id, layout.state_dir),
        *(f"-D{name}={value}" for name, value in system_properties(layout, port, management_port).items()),
        "-jar",
        str(folder / "quarkus-run.jar"),
    )
    return Program("registry", "The schema registry", command, layout.log("registry"), port)
