"""DKIM: a mail signed with the sender's key, so that receivers know that the domain stands behind it (RFC 6376).

Relies on dkimpy. A signature carries the time when it was made, so the same mail signed twice differs in that field
alone.
"""

from __future__ import annotations

from pathlib import Path

import dkim

from tidemill.errors import ConfigError

_SIGNED = (
    *(b"from", b"reply-to", b"subject", b"date", b"to", b"cc", b"message-id", b"mime-version", b"content-type"),
    *(b"list-unsubscribe", b"list-unsubscribe-post"),
)


class Signer:
    """Signs mails.

    Args:
        domain: d= of the signature.
        selector: s= of the signature; the public key is at <selector>._domainkey.<domain>.
        key_file: RSA private key, PEM.

    Raises:
        ConfigError: The key can't be read or used.
    """

    def __init__(self, domain: str, selector: str, key_file: Path) -> None:
        try:
            self._key = key_file.read_bytes()
        except OSError as error:
            raise ConfigError(f"The DKIM key {str(key_file)!r} can't be read: {error.strerror or error}.") from error
        self._domain = domain.encode("ascii")
        self._selector = selector.encode("ascii")
        self.sign(b"From: a@example.com\r\n\r\n\r\n")

    def sign(self, message: bytes) -> bytes:
        """The header field that signs a mail, to be put before it.

        Args:
            message: The whole mail.

        Raises:
            ConfigError: The key can't be used.
        """
        head = message.partition(b"\r\n\r\n")[0].lower()
        present = [name for name in _SIGNED if head.startswith(name + b":") or b"\r\n" + name + b":" in head]
        try:
            signer = dkim.DKIM(message)
            field: bytes = signer.sign(
                self._selector,
                self._domain,
                self._key,
                canonicalize=(b"relaxed", b"relaxed"),
                include_headers=present,
            )
        except (dkim.DKIMException, ValueError) as error:
            raise ConfigError(
                f"The DKIM key can't sign: {error}.", hint="It must be an RSA private key of 1024 bits or more, PEM."
            ) from error
        return field
