"""A form with a file in it, however it is cut into pieces, and the forms that are refused."""

from __future__ import annotations

import pytest

from producers.gateway.errors import Problem
from producers.gateway.uploads.form import MOST_FIELD_BYTES, MOST_PARTS, Form

TYPE = "multipart/form-data; boundary=XX"
FILE = b'Content-Disposition: form-data; name="file"; filename="a.jpg"\r\nContent-Type: image/png'


def part(headers: bytes, body: bytes) -> bytes:
    return b"--XX\r\n" + headers + b"\r\n\r\n" + body + b"\r\n"


def field(name: str, body: bytes) -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"'.encode(), body)


def taken(body: bytes, size: int = 1 << 20) -> tuple[bytes, Form]:
    form = Form(TYPE)
    pieces = [piece for at in range(0, len(body), size) for piece in form.feed(body[at : at + size])]
    form.finish()
    return b"".join(pieces), form


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_file_comes_out_as_it_is_however_the_form_is_cut(size: int) -> None:
    content = b"\r\n--X\r\n--XY\r\n-" * 20 + bytes(range(256)) + b"\r\r\r\n--"
    body = field("event", b'{"type": "image.requested"}') + part(FILE, content) + field("sha256", b"00") + b"--XX--\r\n"
    found, form = taken(body, size)
    assert found == content
    assert form.fields == {"event": b'{"type": "image.requested"}', "sha256": b"00"}
    assert form.file_name == "a.jpg"


@pytest.mark.parametrize(
    "boundary",
    ["", "boundary=", "boundary=" + "x" * 71, 'boundary="a\tb"', "boundary=\x80", 'boundary="ends "', "other=XX"],
)
def test_a_boundary_that_is_none_is_refused(boundary: str) -> None:
    with pytest.raises(Problem, match="boundary must be"):
        Form(f"multipart/form-data; {boundary}")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (part(FILE, b"1") + part(FILE, b"2") + b"--XX--", "more than one file"),
        (field("event", b"{}") * 2 + b"--XX--", "twice"),
        (field("evil", b"{}") + b"--XX--", "There is no field 'evil'"),
        (field("sha256", b"") * (MOST_PARTS + 1), "twice"),
        (b"".join(b"--XX\r\n" + FILE + b"\r\n\r\n" for _ in range(2)), "boundary or a part's header|cut off"),
        (part(b"Content-Type: image/png", b"1") + b"--XX--", "doesn't say what it is"),
        (part(b"Content-Disposition: attachment; name=file", b"1") + b"--XX--", "doesn't say what it is"),
        (part(FILE + b"\r\n" + FILE, b"1") + b"--XX--", "has a header twice"),
        (part(FILE + b"\r\nContent-Transfer-Encoding: base64", b"MQ==") + b"--XX--", "is encoded"),
        (part(FILE + b"\r\nX: " + b"x" * 10_000, b"1") + b"--XX--", "part's header is broken"),
        (part(FILE + b"".join(b"\r\nX%d: 1" % number for number in range(50)), b"1") + b"--XX--", "header is broken"),
        (part(FILE + b"\r\nbad header", b"1") + b"--XX--", "part's header is broken"),
        (part(FILE + b"\nX: 1", b"1"), "doesn't say what it is|cut off|header is broken"),
        (field("event", b"x" * (MOST_FIELD_BYTES + 1)), "fields have more than"),
        (b"nothing of a form", "boundary or a part's header"),
        (part(FILE, b"1"), "cut off"),
        (part(FILE, b"1") + b"--XX-", "cut off"),
        (field("event", b"{}") + b"--XX--", "no file in the form"),
        (b"--XX--\r\n", "no file in the form"),
        (b"", "cut off"),
    ],
)
def test_a_form_that_could_be_read_in_two_ways_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(Problem, match=said) as refused:
        taken(body)
    assert refused.value.status in (400, 413)


def test_an_encoded_name_of_a_file_is_not_decoded() -> None:
    disposition = b"Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''..%2F..%2Fetc"
    _, form = taken(part(disposition, b"1") + b"--XX--")
    assert form.file_name is None
