"""schemathesis against a gateway's own OpenAPI document: `python -m tests.crash.gateway_openapi [--examples 30]`.

Starts a stack, a table of jobs and `tidemill gateway`, has schemathesis send what the document allows and what it
doesn't, and ends with its exit status: 0 if every answer was one that the document promises.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.crash.gateway_attacks import gateway_process, prepare_everything
from tests.crash.storm.ground import ground, settings_for
from tests.integration.gateway_running import new_tokens
from tidemill.contracts.catalogue import installed_events
from tidemill.jobs.database import Database

# No schema can say that a digest must be that of the file beside it, so what a schema allows may rightly be refused.
CONFIGURATION = """
[[operations]]
include-name = "POST /uploads"
checks.positive_data_acceptance.enabled = false
"""
QUICK = {"TIDEMILL_GATEWAY_JOB_UNKNOWN_SECONDS": "0.05", "TIDEMILL_GATEWAY_JOB_MAX_WAIT_SECONDS": "0.1"}
"""How long a request waits for a job: there are none."""


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.gateway_openapi", description=__doc__)
    parser.add_argument("--examples", type=int, default=30, help="requests of each kind for each operation")
    examples: int = parser.parse_args().examples
    with tempfile.TemporaryDirectory(prefix="tidemill-openapi-") as name, ground(Path(name), [], brokers=1) as stack:
        settings = settings_for(stack, Path(name), namespace="openapi.", protocol="consumer")
        prepare_everything(settings)
        with Database(settings).writing():
            pass  # The tables of jobs are made.
        every = [cls.__contract__.type for cls in installed_events()]
        (Path(name) / "schemathesis.toml").write_text(CONFIGURATION, encoding="utf-8")
        os.environ.update(QUICK)
        tokens = new_tokens(settings, all={"publish": every, "read_jobs": True, "upload": True})
        # Options that are too long are refused as such only where the request's line may be that long.
        with gateway_process(settings, Path(name), TIDEMILL_GATEWAY_HEADER_BYTES="1000000") as (port, _):
            done = subprocess.run(
                [
                    str(Path(sys.executable).with_name("schemathesis")),
                    "run",
                    f"http://127.0.0.1:{port}/openapi.json",
                    "--phases",
                    "coverage,fuzzing",
                    "--max-examples",
                    str(examples),
                    "--generation-database",
                    "none",
                ],
                cwd=name,
                env={
                    **os.environ,
                    "GATEWAY_TOKEN": tokens["all"],
                    "SCHEMATHESIS_HOOKS": "tests.crash.gateway_hooks",
                    "PYTHONPATH": str(Path.cwd()),
                },
            )
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
