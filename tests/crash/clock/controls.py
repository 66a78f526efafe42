"""The storms' controls: schedulers without transactions, which must double what ours do once."""

from __future__ import annotations

import os

import pytest

CONTROLS = pytest.mark.skipif(
    "TIDEMILL_TEST_CONTROLS" not in os.environ, reason="half a minute; TIDEMILL_TEST_CONTROLS=1 runs it"
)
