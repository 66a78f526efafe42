"""`tidemill cleanup`: check the file of policies, see what would go, and remove it here and now, without Kafka."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.terminal import command, err, out, print_json, print_rows

if TYPE_CHECKING:
    from streams.cleanup.policies import AnyPolicy
    from streams.cleanup.request import Watch
    from streams.cleanup.settings import CleanupSettings
    from tidemill.events import CleanupDone

app = typer.Typer(no_args_is_help=True, help="Remove old rows and files as policies say.")

CHECK_EPILOG = """
\b
Examples:
  tidemill cleanup check                   the file of TIDEMILL_CLEANUP_POLICIES
  tidemill cleanup check cleanup.toml --json

\b
No database is asked: `tidemill cleanup plan` does that. Exit status 1 where a fault is found.
"""
PLAN_EPILOG = """
\b
Examples:
  tidemill cleanup plan                    all policies
  tidemill cleanup plan old-sessions --as-of 2026-12-24

\b
Nothing is removed. Exit status 1 where a policy couldn't run.
"""
RUN_EPILOG = """
\b
Examples:
  tidemill cleanup run old-sessions --dry-run
  tidemill cleanup run old-sessions --yes
  tidemill cleanup run old-sessions --id 0199f0a2-5d1e-7c4b --as-of 2026-11-24T19:00:00   go on where it was cut off

\b
By the stream instead: publish cleanup.requested, or let a job do it.
"""
File = Annotated[Path | None, typer.Option("--policies", help="File; default: TIDEMILL_CLEANUP_POLICIES.")]
AsOf = Annotated[datetime | None, typer.Option(help="Measure ages from this moment, UTC; default: now.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]


@app.command(epilog=CHECK_EPILOG)
@command
def check(
    file: Annotated[Path | None, typer.Argument(help="File; default: TIDEMILL_CLEANUP_POLICIES.")] = None,
    as_json: Json = False,
) -> None:
    """Find all faults of a file of policies, with their lines."""
    from streams.cleanup.faults import PoliciesError
    from streams.cleanup.policies import read_policies

    path = _settings(file).policies
    try:
        policies = read_policies(path)
    except PoliciesError as error:
        if not as_json:
            raise
        print_json([asdict(fault) for fault in error.faults])
        raise typer.Exit(1) from error
    if as_json:
        print_json([])
        return
    out.print(f"{path}: {len(policies)} {'policy' if len(policies) == 1 else 'policies'}, no faults.", markup=False)


@app.command(epilog=PLAN_EPILOG)
@command
def plan(
    names: Annotated[list[str] | None, typer.Argument(help="Policies; default: all.")] = None,
    as_of: AsOf = None,
    policies: File = None,
    as_json: Json = False,
) -> None:
    """Count what each policy would remove, and say whether it would be let."""
    from streams.cleanup.policies import find_policy, read_policies
    from tidemill.errors import TidemillError

    settings = _settings(policies)
    known = read_policies(settings.policies)
    rows: list[dict[str, Any]] = []
    failed = False
    for policy in [find_policy(known, name) for name in names] if names else known:
        row: dict[str, Any] = {"policy": policy.name, "of": _place(policy)}
        try:
            done = _clean(policy, settings, _moment(as_of), dry_run=True)
        except TidemillError as error:
            failed = True
            row |= {"verdict": str(error)}
        else:
            taken = min(done.matched, policy.max_rows)
            share = taken / done.before if done.before else 0.0
            over = share > policy.max_share
            verdict = (
                f"refused: more than {policy.max_share:.0%}" if over else "only counts" if policy.dry_run else "goes"
            )
            row |= {"before": done.before, "matched": done.matched, "share": round(share, 4), "verdict": verdict}
            failed = failed or over
        rows.append(row)
    shown = rows if as_json else [_for_people(row) for row in rows]
    columns = {"policy": "policy", "of": "of", "before": "there", "matched": "old", "share": "share", "verdict": "run"}
    print_rows(shown, columns, as_json=as_json, empty=f"There are no policies in {settings.policies}.")
    raise typer.Exit(1 if failed else 0)


@app.command(epilog=RUN_EPILOG)
@command
def run(
    name: Annotated[str, typer.Argument(help="The policy.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Although more than its share would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_of: AsOf = None,
    run_id: Annotated[str | None, typer.Option("--id", help="Go on with the run of this id.")] = None,
    policies: File = None,
    as_json: Json = False,
) -> None:
    """Apply one policy here and now; asks before anything is removed."""
    from uuid_utils import uuid7

    from streams.cleanup.policies import find_policy, read_policies
    from streams.cleanup.request import Watch
    from tidemill.errors import Reject

    settings = _settings(policies)
    policy = find_policy(read_policies(settings.policies), name)
    moment = _moment(as_of)
    if run_id is not None and as_of is None:
        raise Reject("--id needs the moment of that run.", hint="Give --as-of as that run has shown it.")
    counted = _clean(policy, settings, moment, dry_run=True)
    if dry_run or policy.dry_run:
        _show(counted, as_json=as_json)
        return
    if counted.matched and not yes:
        archived = getattr(policy, "archive", None)
        kept = f"They are archived to {archived}/ first." if archived else "They are not archived."
        err.print(f"{min(counted.matched, policy.max_rows):,} of {counted.before:,} of {_place(policy)}. {kept}")
        if not typer.confirm("Remove them?", err=True):
            raise typer.Exit(1)
    identity = run_id or str(uuid7())
    if getattr(policy, "archive", None):
        err.print(f"If it is cut off: --id {identity} --as-of {moment:%Y-%m-%dT%H:%M:%S}", markup=False, soft_wrap=True)
    with err.status(f"{policy.name} ...") as status:
        watch = Watch(lambda done, total: status.update(f"{policy.name}: {done:,} of {total:,}"))
        done = _clean(policy, settings, moment, event_id=identity, force=force, watch=watch)
    _show(done, as_json=as_json)


def register(commands: typer.Typer) -> None:
    """Add the commands to `tidemill`; the entry point `tidemill.commands`."""
    commands.add_typer(app, name="cleanup")


def _settings(policies: Path | None) -> CleanupSettings:
    from streams.cleanup.settings import load_cleanup_settings

    return load_cleanup_settings(**({"policies": policies} if policies else {}))


def _moment(as_of: datetime | None) -> datetime:
    """Of whole seconds, so that it can be given again."""
    from datetime import UTC

    return datetime.now(UTC).replace(microsecond=0) if as_of is None else as_of.replace(tzinfo=UTC)


def _clean(
    policy: AnyPolicy,
    settings: CleanupSettings,
    as_of: datetime,
    *,
    event_id: str = "plan",
    dry_run: bool = False,
    force: bool = False,
    watch: Watch | None = None,
) -> CleanupDone:
    from streams.cleanup.cleaner import clean
    from streams.cleanup.request import Request, Watch
    from tidemill.config import load_settings
    from tidemill.store import Store

    ours = load_settings()
    return clean(
        policy,
        Request(event_id, as_of, dry_run, force),
        settings=settings,
        store=Store.from_settings(ours),
        state_dir=ours.state_dir,
        watch=watch or Watch(),
    )


def _place(policy: AnyPolicy) -> str:
    from streams.cleanup.policy import FilesPolicy

    return f"files of {policy.prefix}/" if isinstance(policy, FilesPolicy) else f"rows of {policy.table}"


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: f"{value:,}" if isinstance(value, int) else value for name, value in row.items()}
    if "share" in row:
        shown["share"] = f"{row['share']:.1%}"
    return shown


def _show(done: CleanupDone, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(done))
        return
    if done.dry_run:
        out.print(f"{done.matched:,} of {done.before:,} would go. Nothing was removed.")
        return
    out.print(f"[green]✓[/] {done.deleted:,} of {done.before:,} removed in {done.seconds:.1f} s, {done.after:,} stay.")
    if done.deleted_earlier:
        out.print(f"{done.deleted_earlier:,} had gone in an earlier try.")
    if done.left:
        why = {"max_rows": "over the limit", "time": "out of time"}.get(done.stopped_by, "in use by others")
        out.print(f"{done.left:,} are old and still there: {why}.")
    for file in done.archives:
        out.print(f"{file.rows:>9,} rows  {file.bytes / 1000:>9,.1f} kB  {file.uri}", markup=False, soft_wrap=True)
