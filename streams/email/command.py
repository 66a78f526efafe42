"""`tidemill email`: look at templates, find their faults, and send a mail through the stream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tidemill.cli.terminal import command, err, out, print_json, print_rows

if TYPE_CHECKING:
    from streams.email.jobs import EmailJob
    from streams.email.settings import EmailSettings

app = typer.Typer(no_args_is_help=True, help="Look at e-mail templates, find their faults, send a mail.")

PREVIEW_EPILOG = """
\b
Examples:
  tidemill email preview welcome --open                            in the browser: wide, narrow, dark
  tidemill email preview welcome --locale de --out preview/        files: .html, .txt, .eml, index.html
  tidemill email preview daily-summary --context day.json --text   the text part, here

\b
Without --context it is filled in with its example, NAME.context.json or NAME.LOCALE.context.json.
"""
LINT_EPILOG = """
\b
Examples:
  tidemill email lint                    all templates of the folder
  tidemill email lint welcome --json

\b
Exit status 1 where a fault is found; advice alone is none.
"""
SEND_EPILOG = """
\b
Examples:
  tidemill email send --to ada@example.com --template welcome --context ada.json
  tidemill email send --to ada@example.com --subject Hello --text "It works." --json
  tidemill email send --to ada@example.com --template welcome --context ada.json --dry-run

\b
A worker must run: tidemill worker email
Exit status 1 where nobody got it.
"""
Folder = Annotated[Path | None, typer.Option("--templates", help="Folder; default: TIDEMILL_EMAIL_TEMPLATES.")]
Context = Annotated[Path | None, typer.Option(help="JSON file with the template's variables.", exists=True)]
Locale = Annotated[str | None, typer.Option(help="Language and region, e.g. de or pt-BR.")]


@app.command(epilog=PREVIEW_EPILOG)
@command
def preview(
    template: Annotated[str, typer.Argument(help="Name of the template.")],
    context: Context = None,
    locale: Locale = None,
    to: Annotated[str, typer.Option(help="Recipient to show.")] = "Ada Lovelace <ada@example.com>",
    out_dir: Annotated[Path | None, typer.Option("--out", help="Write the files into this folder.")] = None,
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    text: Annotated[bool, typer.Option("--text", help="Print the text part.")] = False,
    templates: Folder = None,
) -> None:
    """Show what a template's mail looks like. Nothing is sent."""
    import tempfile
    import webbrowser
    from datetime import UTC, datetime

    from streams.email.content import ContentMaker
    from streams.email.lint import example_context
    from streams.email.mailer import signer_of
    from streams.email.message import compose
    from streams.email.preview import preview as files_of
    from streams.email.request import check_request
    from tidemill.events import EmailRequested

    settings = _settings(templates)
    maker = ContentMaker(settings)
    variables = _read(context) if context else json.dumps(example_context(maker.templates, template, locale))
    request = EmailRequested(to=[to], template=template, context=variables, locale=locale)
    checked = check_request(request, settings)
    content = maker.make(checked)
    mail = compose(
        checked,
        content,
        (),
        event_id="preview",
        time=datetime.now(UTC),
        settings=settings,
        signer=signer_of(settings),
    )
    if text:
        out.print(content.text, markup=False, soft_wrap=True, end="")
        return
    folder = out_dir or Path(tempfile.mkdtemp(prefix="tidemill-email-"))
    folder.mkdir(parents=True, exist_ok=True)
    files = files_of(template, content, mail).files
    for name, data in files.items():
        (folder / name).write_bytes(data)
    out.print("subject  ", end="")
    out.print(content.subject, markup=False, soft_wrap=True)
    for name, data in files.items():
        out.print(f"{len(data) / 1000:7.1f} kB  {folder / name}", markup=False, soft_wrap=True)
    if open_:
        webbrowser.open((folder / "index.html").absolute().as_uri())


@app.command(epilog=LINT_EPILOG)
@command
def lint(
    names: Annotated[list[str] | None, typer.Argument(help="Templates; default: all.")] = None,
    templates: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Findings as JSON.")] = False,
) -> None:
    """Find faults of templates: missing variables, no text part, huge or silent pictures, what mail programs hide."""
    from dataclasses import asdict

    from streams.email.lint import lint as findings_of
    from streams.email.templates import Templates

    settings = _settings(templates)
    folder = Templates(settings.templates)
    found = findings_of(folder, settings, names or folder.names())
    count = len(names or folder.names())
    print_rows(
        [asdict(finding) for finding in found],
        {"file": "template", "severity": "", "message": "what was found"},
        as_json=as_json,
        empty=f"{count} template{'' if count == 1 else 's'}, no faults."
        if count
        else f"There are no templates in {settings.templates}.",
    )
    raise typer.Exit(1 if any(finding.severity == "fault" for finding in found) or not count else 0)


@app.command(epilog=SEND_EPILOG)
@command
def send(
    to: Annotated[list[str], typer.Option("--to", metavar="ADDRESS", help="Recipient; may be given several times.")],
    template: Annotated[str | None, typer.Option(help="Name of a template.")] = None,
    context: Context = None,
    locale: Locale = None,
    subject: Annotated[str | None, typer.Option(help="Subject, without a template or instead of its own.")] = None,
    text: Annotated[str | None, typer.Option(help="Plain text, without a template.")] = None,
    html: Annotated[Path | None, typer.Option(help="File with HTML, without a template.", exists=True)] = None,
    cc: Annotated[list[str] | None, typer.Option("--cc", metavar="ADDRESS", help="A copy, seen by all.")] = None,
    bcc: Annotated[list[str] | None, typer.Option("--bcc", metavar="ADDRESS", help="A copy, seen by nobody.")] = None,
    attach: Annotated[
        list[str] | None, typer.Option("--attach", metavar="URI", help="A file in the object store.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Longest wait for the outcome, seconds.")] = 60.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check it; send nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Outcome as JSON.")] = False,
) -> None:
    """Send a mail through the stream and wait for what becomes of it."""
    from streams.email.jobs import EmailJobs
    from streams.email.request import check_request
    from streams.email.settings import load_email_settings
    from tidemill.codec import Codec
    from tidemill.config import load_settings
    from tidemill.contracts.registry import Registry
    from tidemill.events import Attachment, EmailRequested
    from tidemill.publisher import Publisher
    from tidemill.tail import Tail

    request = EmailRequested(
        to=to,
        cc=cc or [],
        bcc=bcc or [],
        template=template,
        context=_read(context) if context else "{}",
        locale=locale,
        subject=subject,
        text=text,
        html=_read(html) if html else None,
        attachments=[Attachment(uri=uri) for uri in attach or []],
    )
    settings = load_settings()
    # What any worker would refuse is told here, rather than by a dead letter.
    checked = check_request(request, load_email_settings(settings))
    if dry_run:
        addresses = [box.address for box in checked.recipients]
        if as_json:
            print_json({"recipients": addresses, "request": request.to_record()})
        else:
            out.print(f"would be sent to {', '.join(addresses)}; nothing was sent", markup=False, soft_wrap=True)
        return
    with (
        Registry(settings) as registry,
        Tail(settings, EmailJobs.TOPICS) as tail,
        Publisher(settings, codec=(codec := Codec(registry))) as publisher,
    ):
        jobs = EmailJobs(publisher, codec, tail)
        job = jobs.submit(request)
        publisher.flush()
        for _ in jobs.outcomes(timeout):
            pass
    _show(job, timeout, as_json=as_json)
    raise typer.Exit(0 if job.result is not None and job.result.accepted else 1)


def register(commands: typer.Typer) -> None:
    """Add the commands to `tidemill`; the entry point `tidemill.commands`."""
    commands.add_typer(app, name="email")


def _settings(templates: Path | None) -> EmailSettings:
    from streams.email.settings import load_email_settings

    return load_email_settings(templates=templates) if templates else load_email_settings()


def _read(file: Path) -> str:
    from tidemill.errors import Reject

    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Reject(f"{file} can't be read as UTF-8 text: {error}.") from error


def _show(job: EmailJob, timeout: float, *, as_json: bool) -> None:
    if as_json:
        print_json(_facts(job))
        return
    if job.seconds is None:
        err.print(f"[red]✗[/] no answer within {timeout:g} s; the request is event {job.id}.", soft_wrap=True)
        next_step = "Is a worker running? `tidemill worker email` starts one; nothing is lost meanwhile."
        err.print(f"[bold]next:[/]  {next_step}", soft_wrap=True)
    elif job.failure is not None:
        out.print("[red]✗[/] became a dead letter: ", end="")
        out.print(job.failure, markup=False, soft_wrap=True)
    elif job.result is not None:
        for address in job.result.accepted:
            out.print(f"[green]✓[/] {address}")
        for refused in job.result.refused:
            out.print(f"[red]✗[/] {refused.address}: ", end="")
            why = "is suppressed by" if refused.reason == "suppressed" else str(refused.code or "")
            out.print(f"{why} {refused.answer}".strip(), markup=False, soft_wrap=True)
        if job.result.relay is not None:
            size = f"{job.result.bytes / 1000:.1f} kB to {job.result.relay} in {job.seconds:.2f} s"
            out.print(f"{size}: {job.result.answer}", markup=False, soft_wrap=True)
        out.print(f"Message-ID <{job.result.message_id}>", markup=False, soft_wrap=True)


def _facts(job: EmailJob) -> dict[str, Any]:
    from dataclasses import asdict

    result = asdict(job.result) if job.result is not None else None
    return {"id": job.id, "seconds": job.seconds, "result": result, "failure": job.failure}
