"""From a request to a mail: attachments, the suppression list, signatures, security and settings."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dkim
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from streams.email.mailer import Mailer
from streams.email.plain_text import plain_text
from streams.email.settings import load_email_settings
from streams.email.signing import Signer
from streams.email.suppression import SuppressionList
from tests.integration.smtp_server import smtp_server
from tests.unit.email_samples import NOON, mail, read, request, settings, templated
from tidemill.errors import ConfigError, ForbiddenUri, ObjectMissing, Reject
from tidemill.events import Attachment, EmailRequested, EmailSent
from tidemill.store import Store


async def undone(key: str, effect: Callable[[], Awaitable[Any]], *, policy: Any) -> Any:
    """A ledger that knows nothing."""
    return await effect()


async def sent(mailer: Mailer, asked: EmailRequested) -> EmailSent:
    try:
        return await mailer.send(asked, event_id="e-1", time=NOON, once=undone, is_last=False, usual_wait_seconds=5.0)
    finally:
        await mailer.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.from_urls((tmp_path / "objects").as_uri())


async def test_attachments_come_from_the_store(store: Store) -> None:
    report = store.write("reports/a.pdf", b"%PDF-1.7 report", "application/pdf").uri
    digest = hashlib.sha256(b"%PDF-1.7 report").hexdigest()
    asked = templated(
        attachments=[Attachment(uri=report, name="Bericht für Ada.pdf", sha256=digest), Attachment(uri=report)]
    )
    async with smtp_server() as server:
        told = await sent(Mailer(settings(port=server.port), store), asked)
    assert told.accepted == ["ada@example.com"]
    found = list(read(server.mails[0].data).iter_attachments())
    assert [(each.get_filename(), each.get_content_type(), each.get_content()) for each in found] == [
        ("Bericht für Ada.pdf", "application/pdf", b"%PDF-1.7 report"),
        ("a.pdf", "application/pdf", b"%PDF-1.7 report"),
    ]


async def test_an_attachment_that_isnt_as_it_should_be_is_refused(store: Store, tmp_path: Path) -> None:
    uri = store.write("a.bin", b"x" * 3000, "application/octet-stream").uri
    (tmp_path / "secret").write_text("secret")
    mailer = Mailer(settings(max_message_bytes=5000), store)
    for attachments, error, words in (
        ([Attachment(uri=uri, sha256="0" * 64)], Reject, "expected 000"),
        ([Attachment(uri=uri), Attachment(uri=uri)], Reject, "more than 5,000 bytes together"),
        ([Attachment(uri=(tmp_path / "secret").as_uri())], ForbiddenUri, "outside"),
        ([Attachment(uri="http://169.254.169.254/latest")], ForbiddenUri, "only file"),
        ([Attachment(uri=uri + "x")], ObjectMissing, "a.binx"),
    ):
        with pytest.raises(error, match=words):
            await sent(mailer, request(attachments=attachments))


async def test_a_suppressed_recipient_gets_nothing_and_that_is_no_error(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "suppressed.txt"
    file.write_text("# left in May\nADA@example.com  # bounced\n@gone.example\n")
    async with smtp_server() as server:
        mailer = Mailer(settings(port=server.port, suppressed=file), store)
        told = await sent(mailer, request(to=["Ada@example.com", "b@example.com", "c@gone.example"]))
        none = await sent(mailer, request(to=["ada@example.com"]))
    assert told.accepted == ["b@example.com"]
    assert [(each.address, each.reason, each.answer) for each in told.refused] == [
        ("Ada@example.com", "suppressed", "ada@example.com"),
        ("c@gone.example", "suppressed", "@gone.example"),
    ]
    assert (none.accepted, none.relay, none.bytes) == ([], None, 0)
    assert [each.recipients for each in server.mails] == [("b@example.com",)]


def test_the_suppression_list_is_read_again_when_it_changes_and_never_ignored(tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text("a@x.example\n")
    found = SuppressionList(file)
    assert found.match("A@x.example") == "a@x.example"
    assert found.match("b@x.example") is None
    file.write_text("@x.example\n")
    os.utime(file, (1, 1))
    assert found.match("b@x.example") == "@x.example"
    assert found.match("b@sub.x.example") is None
    file.unlink()
    with pytest.raises(ConfigError, match="can't be read") as caught:
        found.match("b@x.example")
    assert caught.value.retriable


@pytest.fixture(scope="module")
def dkim_key(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """A private key, and what DNS says of the public one."""
    key = rsa.generate_private_key(65537, 2048)
    file = tmp_path_factory.mktemp("keys") / "dkim.pem"
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    file.write_bytes(pem)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return file, b"v=DKIM1; k=rsa; p=" + b"".join(public.splitlines()[1:-1])


async def test_a_signed_mail_is_verified_by_what_dns_says(store: Store, dkim_key: tuple[Path, bytes]) -> None:
    asked = templated(list_unsubscribe="https://example.com/u/1")
    async with smtp_server() as server:
        await sent(Mailer(settings(port=server.port, dkim_key=dkim_key[0], dkim_selector="s1"), store), asked)
    data = server.mails[0].data
    names: list[bytes] = []

    def dns(name: bytes, timeout: int = 5) -> bytes:
        names.append(name)
        return dkim_key[1]

    assert dkim.verify(data, dnsfunc=dns)
    assert names == [b"s1._domainkey.example.com."]
    assert not dkim.verify(data.replace(b"Welcome, Ada!", b"Welcome, Eve!"), dnsfunc=dns)
    assert not dkim.verify(data.replace(b"u/1>", b"u/2>"), dnsfunc=dns)


def test_a_key_that_cant_sign_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        Signer("example.com", "s1", tmp_path / "nowhere")
    (tmp_path / "key").write_text("no key")
    with pytest.raises(ConfigError, match="can't sign"):
        Signer("example.com", "s1", tmp_path / "key")


class Keeper:
    """A handler of aiosmtpd that keeps who got something, whether logged in, and whether secured."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any, bool]] = []

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802
        self.seen.append((envelope.rcpt_tos[0], session.auth_data, session.ssl is not None))
        return "250 kept"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return file


def authenticate(server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    """For aiosmtpd: the one name and password that it knows."""
    fits = isinstance(data, LoginPassword) and (data.login, data.password) == (b"tidemill", b"secret")
    return AuthResult(success=fits, handled=False, auth_data="tidemill")


@asynccontextmanager
async def secured(security: str, certificate: Path) -> AsyncIterator[tuple[Keeper, int]]:
    """A server of another make, aiosmtpd, with TLS and a password; what it keeps, and its port."""
    keeper, loop = Keeper(), asyncio.get_running_loop()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)

    def protocol() -> SMTP:
        later = security == "starttls"
        return SMTP(
            keeper,
            hostname="aiosmtpd",
            tls_context=tls if later else None,
            require_starttls=later,
            authenticator=authenticate,
            auth_required=True,
            auth_require_tls=later,
            loop=loop,
        )

    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls if security == "tls" else None)
    try:
        yield keeper, server.sockets[0].getsockname()[1]
    finally:
        server.close()


# Of aiosmtpd, which takes a connection that began with TLS for one without.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_mails_go_secured_and_logged_in(store: Store, certificate: Path, security: str) -> None:
    async with secured(security, certificate) as (keeper, port):
        access = {"security": security, "ca_file": certificate, "user": "tidemill", "password": "secret"}
        mailer = Mailer(settings(port=port, **access), store)
        told = await sent(mailer, templated())
        await sent(mailer, request())
    assert told.accepted == ["ada@example.com"]
    # aiosmtpd tells of its own TLS only where it began it itself.
    assert keeper.seen == [("ada@example.com", "tidemill", security == "starttls")] * 2


# Of aiosmtpd, which takes a connection that began with TLS for one without.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_wrong_password_or_certificate_makes_mails_wait_and_is_told(
    store: Store, certificate: Path, security: str
) -> None:
    async with secured(security, certificate) as (keeper, port):
        for password, ca_file in (("guess", certificate), ("secret", None)):
            access = {"security": security, "user": "tidemill", "password": password, "ca_file": ca_file}
            mailer = Mailer(settings(port=port, **access), store)
            with pytest.raises(ConfigError, match="can't be used with security") as caught:
                await sent(mailer, request())
            assert caught.value.retriable
            assert password not in str(caught.value)
    assert keeper.seen == []


async def test_a_server_without_tls_gets_nothing_where_tls_is_set(store: Store) -> None:
    async with smtp_server() as server:
        with pytest.raises(ConfigError, match="starttls"):
            await sent(Mailer(settings(port=server.port, security="starttls"), store), request())
    assert server.mails == []


def test_settings_that_dont_fit_together_are_told_without_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_EMAIL_HOST", "mail.example.com")
    monkeypatch.setenv("TIDEMILL_EMAIL_USER", "tidemill")
    monkeypatch.setenv("TIDEMILL_EMAIL_PASSWORD", "hunter2")
    with pytest.raises(ConfigError, match="isn't sent in the clear") as caught:
        load_email_settings()
    assert "hunter2" not in str(caught.value)
    assert load_email_settings(security="starttls").user == "tidemill"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("SECURITY", "ssl"),
        ("SENDER", "nobody"),
        ("SENDER", "a@example.com\r\nBcc: b@example.com"),
        ("DOMAIN", "exa mple.com"),
        ("UNKNOWN", "maybe"),
        ("RATE_PER_SECOND", "0"),
        ("PASSWORD", "alone"),
        ("DKIM_SELECTOR", "alone"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"TIDEMILL_EMAIL_{name}", value)
    with pytest.raises(ConfigError, match=name if name not in ("PASSWORD", "DKIM_SELECTOR") else "go together"):
        load_email_settings()


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo\n"),
        ("a<br>b", "a\nb\n"),
        ("<ul><li>x</li><li>y</li></ul>", "- x\n- y\n"),
        ("<a href='https://x.example/'>here</a>", "here (https://x.example/)\n"),
        ("<a href='https://x.example/'>https://x.example/</a>", "https://x.example/\n"),
        ("<a href='mailto:a@x.example'>write</a>", "write (a@x.example)\n"),
        ("<a href='javascript:x()'>here</a>", "here\n"),
        ("<img src='a' alt='A cat'>", "[A cat]\n"),
        ("<style>p{}</style><script>x</script><p>seen</p>", "seen\n"),
        ("<div style='display: none'>hidden <b>deep</b></div>seen", "seen\n"),
        ("<head><title>t</title></head><body>x &amp; y</body>", "x & y\n"),
        ("</p></div>odd<", "odd<\n"),
        ("<div hidden><p>never closed", "\n"),
    ],
)
def test_a_text_made_of_html_has_its_words_and_links(html: str, text: str) -> None:
    assert plain_text(html) == text


def test_a_mail_of_another_sender_has_the_message_id_of_this_worker() -> None:
    made = mail(request(sender="Shop <shop@other.example>"))
    assert made.sender == "shop@other.example"
    assert made.message_id == "event-1@example.com"
