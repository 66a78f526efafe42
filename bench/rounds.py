"""The no-op streams once per round, each with a consumer group of its own, so that every round reads it all again."""

from __future__ import annotations

from dataclasses import replace

from bench.streams import noop, noop_batch

noop_0, noop_1, noop_2 = (replace(noop, name=f"noop-{number}") for number in range(3))
noop_batch_0, noop_batch_1, noop_batch_2 = (replace(noop_batch, name=f"noop-batch-{number}") for number in range(3))
