"""Mail addresses: what is one, what only looks like one, and what each becomes on its way to a server."""

from __future__ import annotations

import pytest

from streams.email.address import parse_address
from tidemill.errors import Reject


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        ("ada@example.com", "", "ada@example.com"),
        ("  ada@example.com ", "", "ada@example.com"),
        ("Ada Lovelace <ada@example.com>", "Ada Lovelace", "ada@example.com"),
        ('"Lovelace, Ada" <ada@example.com>', "Lovelace, Ada", "ada@example.com"),
        (r'"Ada \"the first\"" <ada@example.com>', 'Ada "the first"', "ada@example.com"),
        ("<ada@example.com>", "", "ada@example.com"),
        ("Ada.L+news@EXAMPLE.Com", "", "Ada.L+news@example.com"),
        ("root@localhost", "", "root@localhost"),
        ("ada@bücher.example", "", "ada@xn--bcher-kva.example"),
        ("ada@straße.example", "", "ada@xn--strae-oqa.example"),
        ("Zoë <zoë@example.com>", "Zoë", "zoë@example.com"),
    ],
)
def test_an_address_is_taken_apart(text: str, name: str, address: str) -> None:
    found = parse_address(text)
    assert (found.name, found.address) == (name, address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@@example.com",
        "ada@example..com",
        ".ada@example.com",
        "ada.@example.com",
        "a..b@example.com",
        "ada example.com",
        "ada@example.com, eve@example.com",
        "ada@example.com;eve@example.com",
        "Ada <ada@example.com> <eve@example.com>",
        "Ada <ada@example.com",
        '"quoted local"@example.com',
        "ada@[127.0.0.1]",
        "ada@127.0.0.1",
        "ada@-example.com",
        "ada@exa_mple.com",
        "ada(comment)@example.com",
        "a" * 65 + "@example.com",
        "ada@" + "a" * 64 + ".com",
        "ada@" + ".".join(["a" * 60] * 5),
        "ada@xn--\u00fc.example",
    ],
)
def test_what_is_no_single_plain_address_is_refused_with_the_value(text: str) -> None:
    with pytest.raises(Reject) as caught:
        parse_address(text)
    assert "address" in str(caught.value)
    assert repr(text[:20])[:-1] in str(caught.value)


@pytest.mark.parametrize("control", ["\r\n", "\n", "\r", "\0", "\x1b", "\u2028", "\x85", "\ud800"])
@pytest.mark.parametrize(
    "text", ["ada{}@example.com", "Ada{}Bcc: eve@example.com <ada@example.com>", "a@example.com{}"]
)
def test_control_characters_are_refused_wherever_they_stand(text: str, control: str) -> None:
    with pytest.raises(Reject, match="control characters"):
        parse_address(text.format(control))


def test_capitals_make_no_other_recipient() -> None:
    assert parse_address("Ada@Example.com").identity == parse_address("ada@example.COM").identity


def test_a_name_keeps_no_character_that_turns_text_around() -> None:
    assert parse_address("Ada \u202emoc.elpmaxe@eve <ada@example.com>").name == "Ada moc.elpmaxe@eve"


def test_only_letters_before_the_at_sign_need_smtputf8() -> None:
    assert not parse_address("ada@bücher.example").needs_smtputf8
    assert parse_address("zoë@example.com").needs_smtputf8
