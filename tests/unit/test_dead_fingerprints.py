"""Which dead letters are the same failure: near-duplicates share a group, what differs in kind doesn't."""

from __future__ import annotations

import time

import pytest

from consumers.deadletters.fingerprint import MOST_PATTERN, fingerprint, frames, normalised

TRACE = """Traceback (most recent call last):
  File "/opt/app/.venv/lib/python3.11/site-packages/tidemill/runtime/engine.py", line 241, in _try
    returned = await self._invoke(events, work)
  File "/opt/app/releases/{release}/shop/pictures.py", line {line}, in render
    fetch(url)
  File "/opt/app/releases/{release}/shop/store.py", line {line}, in fetch
    return client.get(url)
  File "/opt/app/.venv/lib/python3.11/site-packages/httpx/_client.py", line 1041, in get
    raise error
{error}
"""


def group(message: str, *, error: str = "ValueError", trace: str = "", handler: str = "shop:render") -> str:
    return fingerprint("image", handler, error, message, trace).id


SAME = [
    ("order 17 has no total", "order 4711 has no total"),
    ("order-17 has no total", "order-4711 has no total"),
    ("took 1.5 s", "took 31 s"),
    ("balance is -5", "balance is 17"),
    ("job 0199c1f0-6a2b-7c3d-8e4f-5a6b7c8d9e0f is gone", "job 0199C1F0-6A2B-7C3D-8E4F-5A6B7C8D9E10 is gone"),
    ("bad digest deadbeef01", "bad digest 0123456789abcdef0123456789abcdef"),
    ("at 0x7f3a10", "at 0xffffffff81"),
    ("can't open '/srv/a b.txt'", "can't open '/tmp/x.txt'"),
    ('no user "ada"', 'no user "grace hopper"'),
    ("no column `a`", "no column `total_2`"),
    ("can't read /srv/app/1/x.jpg: gone", "can't read /home/me/7.jpg: gone"),
    ("can't read C:\\x\\1.jpg: gone", "can't read D:\\yy\\2.jpg: gone"),
    ("GET https://a.example/1?x=2 gave 503", "GET http://b.example:8080/zz gave 503"),
    ("mail to ada@example.org bounced", "mail to grace.hopper@navy.example bounced"),
    ("due 2026-11-30T17:00:00Z, now late", "due 2025-01-01 09:30:12.5+01:00, now late"),
    ("key AKIA1234567890ABCDEF refused", "key BKIA0987654321ZYXWVU refused"),
    ("too   many\nlines", "too many lines"),
]
DIFFERENT = [
    ("order 17 has no total", "order 17 has no owner"),
    ("connection refused", "connection reset"),
    ("can't read the picture", "can't write the picture"),
    ("width must be above 0", "height must be above 0"),
    ("expected text, found None", "expected None, found text"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_changes_from_event_to_event_makes_no_other_group(one: str, other: str) -> None:
    assert group(one) == group(other), (normalised(one), normalised(other))


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_another_failure_is_another_group(one: str, other: str) -> None:
    assert group(one) != group(other), (normalised(one), normalised(other))


def test_stream_handler_and_class_tell_groups_apart() -> None:
    told = {
        fingerprint("image", "shop:render", "ValueError", "x", "").id,
        fingerprint("email", "shop:render", "ValueError", "x", "").id,
        fingerprint("image", "shop:other", "ValueError", "x", "").id,
        fingerprint("image", "shop:render", "KeyError", "x", "").id,
    }
    assert len(told) == 4


def test_a_group_survives_a_release_that_moves_lines() -> None:
    before = TRACE.format(release="2026-11-01", line=17, error="ValueError: x")
    after = TRACE.format(release="2026-11-02", line=23, error="ValueError: x")
    assert group("x", trace=before) == group("x", trace=after)
    assert frames(before) == ("shop/pictures:render", "shop/store:fetch")


def test_where_it_was_raised_tells_groups_apart() -> None:
    trace = TRACE.format(release="1", line=17, error="ValueError: x")
    assert group("x", trace=trace) != group("x", trace=trace.replace("in fetch", "in fetch_again"))


def test_of_a_chain_of_causes_the_last_error_counts() -> None:
    first = TRACE.format(release="1", line=1, error="KeyError: 'a'")
    last = TRACE.format(release="1", line=1, error="ValueError: x").replace("store", "basket")
    chain = f"{first}\nThe above exception was the direct cause of the following exception:\n\n{last}"
    assert frames(chain) == ("shop/pictures:render", "shop/basket:fetch")


def test_without_a_frame_of_the_users_own_those_of_others_count() -> None:
    trace = 'Traceback (most recent call last):\n  File "/usr/lib/python3.11/json/decoder.py", line 3, in decode\nx'
    assert frames(trace) == ("json/decoder:decode",)
    assert frames("no traceback at all") == ()


def test_a_group_has_eight_digits_that_never_change() -> None:
    # Whoever changes this changes everybody's groups: raise tables.VERSION.
    assert group("order 17 has no total") == "6b77c353"


def test_hostile_messages_take_no_time() -> None:
    began = time.perf_counter()
    for text in ("a-" * 5_000, "'" * 10_000, "a" * 100_000, "1,1." * 9_000, "x@" * 9_000, "ab" * 40_000, "/" * 9_000):
        assert len(normalised(text)) <= MOST_PATTERN
        frames('  File "' + text)
    assert time.perf_counter() - began < 1.0
