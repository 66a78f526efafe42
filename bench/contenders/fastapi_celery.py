# mypy: disable-error-code="import-not-found,no-any-unimported,untyped-decorator,misc"
"""FastAPI before Celery on Redis: a request is checked by its model, and `delay()` puts the task into Redis.

Run by uvicorn with httptools and uvloop, as the gateway is. The answer comes when Redis has the task in memory.
"""

from __future__ import annotations

import os
from typing import Any, Literal

from celery import Celery
from fastapi import FastAPI
from pydantic import BaseModel

celery = Celery("bench", broker=os.environ["BENCH_REDIS"])
celery.conf.update(task_ignore_result=True)
app = FastAPI()


class Rendition(BaseModel):
    """As the contract has it."""

    name: str
    width: int | None = None
    height: int | None = None
    format: Literal["same", "jpeg", "webp", "avif", "png"] = "same"


class ImageRequest(BaseModel):
    """As the contract has it."""

    source: str
    renditions: list[Rendition]


@celery.task(name="handle")
def handle(source: str, renditions: list[dict[str, Any]]) -> None:
    """Never run here."""


# A plain function, which FastAPI runs in a thread: `delay()` waits for Redis.
@app.post("/events/image.requested", status_code=202)
def post(request: ImageRequest) -> dict[str, str]:
    """Take a request."""
    return {"id": handle.delay(**request.model_dump()).id}
