"""`tidemill tokens`: make, list and revoke what lets a program call the gateway."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from producers.gateway.extra import require_extra
from tidemill.cli.terminal import command, err, out, print_json, print_rows

if TYPE_CHECKING:
    from producers.gateway.tokens.store import TokenStore

app = typer.Typer(help="Tokens for the HTTP gateway.", no_args_is_help=True, rich_markup_mode=None)

CREATE_EPILOG = """
\b
Examples:
  tidemill tokens create --name shop --publish 'image.*' --expires 90d
  tidemill tokens create --name web --publish image.requested --upload --read-jobs --rate 50
  TOKEN=$(tidemill tokens create --name ci --publish '*' --quiet)

A pattern doesn't reach the internal types (schedule.tick, image.processed, job.cancel and so on): name those in full.
The token is shown once; only its hash is kept.
"""
LIST_EPILOG = """
\b
Examples:
  tidemill tokens list
  tidemill tokens list --all --json | jq '.[] | select(.state == "live") | .name'
"""
REVOKE_EPILOG = """
\b
Examples:
  tidemill tokens revoke shop
  tidemill tokens revoke 3f9c0a1b2c4d --dry-run

Running gateways refuse it within two seconds (TIDEMILL_GATEWAY_TOKEN_SECONDS).
"""


@app.command(epilog=CREATE_EPILOG)
@command
def create(
    name: Annotated[str, typer.Option("--name", "-n", help="Who uses it; live tokens have different names.")],
    publish: Annotated[
        list[str] | None,
        typer.Option("--publish", "-p", metavar="TYPE", help="Event type or pattern that it may publish; repeatable."),
    ] = None,
    read_jobs: Annotated[
        bool, typer.Option("--read-jobs", help="It may see where jobs are, and their results.")
    ] = False,
    upload: Annotated[bool, typer.Option("--upload", help="It may upload files.")] = False,
    expires: Annotated[
        str, typer.Option("--expires", "-e", metavar="TIME", help="How long it holds: 12h, 90d, forever.")
    ] = "90d",
    rate: Annotated[float | None, typer.Option(min=0.01, help="Most events a second; default: no limit.")] = None,
    burst: Annotated[
        float | None, typer.Option(min=1, help="How many may come at once; default: those of a second.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the token alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, keep nothing.")] = False,
) -> None:
    """Make a token, and show it this once."""
    from producers.gateway.tokens.request import new_token

    token, text, hash_ = new_token(
        name,
        publish or [],
        read_jobs=read_jobs,
        upload=upload,
        expires=expires,
        rate=rate,
        burst=burst,
        now=datetime.now(UTC),
    )
    if not dry_run:
        store = _store()
        try:
            store.add(token, hash_)
        finally:
            store.close()
    if as_json:
        print_json({"id": token.id, "name": token.name, "token": None if dry_run else text, "expires": token.expires})
    elif dry_run:
        err.print(f"A token for {token.name} could be made; nothing was kept.", markup=False)
    elif quiet:
        out.print(text, markup=False, soft_wrap=True)
    else:
        out.print(text, markup=False, soft_wrap=True)
        until = "for ever" if token.expires is None else f"until {token.expires:%Y-%m-%d %H:%M} UTC"
        err.print(f"Token {token.id} for {token.name} holds {until}. Keep it: it isn't shown again.", markup=False)


@app.command("list", epilog=LIST_EPILOG)
@command
def list_(
    all_: Annotated[bool, typer.Option("--all", "-a", help="Also those that are expired or revoked.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show the tokens; never their secrets."""
    store = _store()
    try:
        found = [token for token, _ in store.all()]
    finally:
        store.close()
    now = datetime.now(UTC)
    shown = [token for token in found if all_ or token.state(now) == "live"]
    if as_json:
        print_json(
            [
                {
                    "id": token.id,
                    "name": token.name,
                    "state": token.state(now),
                    "publish": token.publish,
                    "read_jobs": token.read_jobs,
                    "upload": token.upload,
                    "rate": token.rate,
                    "burst": token.burst,
                    "created": token.created,
                    "expires": token.expires,
                    "last_used": token.last_used,
                    "revoked": token.revoked,
                }
                for token in shown
            ]
        )
        return
    rows = [
        {
            "id": token.id,
            "name": token.name,
            "state": token.state(now),
            "scopes": " ".join(
                [*token.publish, *(["read-jobs"] if token.read_jobs else []), *(["upload"] if token.upload else [])]
            ),
            "rate": None if token.rate is None else f"{token.rate:g}/s",
            "expires": "never" if token.expires is None else f"{token.expires:%Y-%m-%d}",
            "used": "never" if token.last_used is None else f"{token.last_used:%Y-%m-%d %H:%M}",
        }
        for token in shown
    ]
    columns = {
        "id": "ID",
        "name": "NAME",
        "state": "STATE",
        "scopes": "SCOPES",
        "rate": "RATE",
        "expires": "EXPIRES",
        "used": "LAST USED (UTC)",
    }
    print_rows(rows, columns, as_json=False, empty=f"There are no {'' if all_ else 'live '}tokens in {store.shown}.")


@app.command(epilog=REVOKE_EPILOG)
@command
def revoke(
    which: Annotated[str, typer.Argument(metavar="NAME|ID", help="Its name or its id.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be revoked.")] = False,
) -> None:
    """Have a token refused from now on."""
    store = _store()
    now = datetime.now(UTC)
    try:
        if dry_run:
            known = [token for token, _ in store.all()]
            found = [token for token in known if which in (token.id, token.name) and token.revoked is None]
        else:
            found = store.revoke(which, now)
    finally:
        store.close()
    if not found:
        err.print(f"There is no live token with the name or id {which!r} in {store.shown}.", markup=False)
        raise typer.Exit(1)
    for token in found:
        out.print(f"{'would revoke' if dry_run else 'revoked'} {token.id} ({token.name})", markup=False)


def _store() -> TokenStore:
    require_extra()
    from producers.gateway.settings import load_gateway_settings
    from producers.gateway.tokens.store import TokenStore
    from tidemill.config import load_settings

    return TokenStore(load_settings(), load_gateway_settings())
