# mypy: disable-error-code="import-not-found"
"""Celery sending mails as its users do: a task that fills in a template, builds a message, connects, sends.

Templates are compiled once per process, as Jinja2 does by itself. Started as `celery -A bench.contenders.celery_emails
worker`; publishes when run as a program.
"""

from __future__ import annotations

import os
import smtplib
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import css_inline
from celery import Celery
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

FOLDER = Path(__file__).parents[2] / "examples/email/templates"
PICTURE = "images/mark.png"

app = Celery("bench", broker=os.environ["BENCH_REDIS"])
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=64, broker_connection_retry_on_startup=True)

templates = Environment(
    loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, autoescape=select_autoescape(["html"])
)
templates.filters["moment"] = lambda value: f"{datetime.fromisoformat(value):%b %d, %Y, %I:%M %p}"


def send(to: str, context: dict[str, Any]) -> None:
    """One mail of the template `welcome` with its picture, over a connection of its own."""
    variables = {**context, "locale": "en", "image": lambda path: "cid:mark@inline"}
    message = EmailMessage()
    message["From"] = "Tidemill <hello@example.com>"
    message["To"] = to
    message["Subject"] = templates.get_template("welcome.subject.txt").render(variables).strip()
    message.set_content(templates.get_template("welcome.txt").render(variables))
    message.add_alternative(css_inline.inline(templates.get_template("welcome.html").render(variables)), subtype="html")
    html: Any = message.get_payload(1)
    html.add_related((FOLDER / PICTURE).read_bytes(), "image", "png", cid="<mark@inline>")
    with smtplib.SMTP("127.0.0.1", int(os.environ["BENCH_SMTP_PORT"])) as connection:
        connection.send_message(message)


task = app.task(name="send")(send)


def main() -> None:
    """Publish so many."""
    import json

    context = json.loads((FOLDER / "welcome.context.json").read_text(encoding="utf-8"))
    with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
        for number in range(int(os.environ["BENCH_COUNT"])):
            task.apply_async(kwargs={"to": f"u{number}@example.com", "context": context}, producer=producer)


if __name__ == "__main__":
    main()
