"""Mail addresses: `ada@example.com` or `Ada <ada@example.com>` taken apart, and refused where they are none.

Stricter than RFC 5322, which allows comments, folding, quoted local parts and numeric hosts: those carry attacks far
more often than mail. International domains become punycode (RFC 5891); other characters before the @ need a server
with SMTPUTF8 (RFC 6531). Must never guess: what isn't one plain address is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import idna

from streams.email.field_text import CONTROL, display_text, shown
from tidemill.errors import Reject

MOST_CHARS = 254
"""RFC 5321, 4.5.3.1.3: a path of 256 octets, with its angle brackets."""
MOST_LOCAL_BYTES = 64

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_PLAIN = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_WIDE_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\U0010ffff-]+"
_WIDE = re.compile(rf"{_WIDE_ATOM}(?:\.{_WIDE_ATOM})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NAMED = re.compile(r"(?P<name>[^<>]*?)\s*<(?P<address>[^<>]*)>")
_FORM = "Write ada@example.com or Ada Lovelace <ada@example.com>."


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One address.

    Attributes:
        name: What people see beside it; may be empty.
        local: What stands before the @.
        ascii_domain: What stands after it, punycode, in small letters.
    """

    name: str
    local: str
    ascii_domain: str

    @property
    def address(self) -> str:
        """The address alone, as an SMTP server gets it."""
        return f"{self.local}@{self.ascii_domain}"

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only servers with SMTPUTF8 (RFC 6531) can take it."""
        return not self.local.isascii()

    @property
    def identity(self) -> str:
        """The address as it is compared with others: capitals don't count."""
        return self.address.casefold()


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Mailbox:
    """Take one address apart.

    Args:
        text: The address, perhaps with a name before it.

    Raises:
        Reject: It holds control characters, is no address, or is several.
    """
    if CONTROL.search(text):
        raise Reject(f"Address {shown(text)} holds control characters.", hint="An address is a single line.")
    name, address = "", text.strip()
    if match := _NAMED.fullmatch(address):
        name, address = _unquoted(match["name"].strip()), match["address"].strip()
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain:
        raise Reject(f"{shown(text)} is no mail address.", hint=_FORM)
    if "@" in local or not _WIDE.fullmatch(local):
        raise Reject(f"{shown(text)} is no mail address: {shown(local)} can't stand before the @.", hint=_FORM)
    if len(local.encode()) > MOST_LOCAL_BYTES:
        raise Reject(f"{shown(text)} is no mail address: more than {MOST_LOCAL_BYTES} bytes stand before the @.")
    found = Mailbox(display_text(name), local, _ascii_domain(domain, text))
    if len(found.address) > MOST_CHARS:
        raise Reject(f"{shown(text)} has {len(found.address)} characters, a mail address at most {MOST_CHARS}.")
    return found


def _unquoted(name: str) -> str:
    if len(name) >= 2 and name[0] == name[-1] == '"':
        return re.sub(r"\\(.)", r"\1", name[1:-1])
    return name


def _ascii_domain(domain: str, text: str) -> str:
    if domain.isascii():
        found = domain.lower()
    else:
        try:
            found = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise Reject(f"{shown(text)} is no mail address: {shown(domain)} is no domain ({error}).") from error
    labels = found.split(".")
    # A last label of digits alone would be taken for an IP address.
    if not _DOMAIN.fullmatch(found) or labels[-1].isdigit():
        raise Reject(f"{shown(text)} is no mail address: {shown(domain)} is no domain.", hint=_FORM)
    return found
