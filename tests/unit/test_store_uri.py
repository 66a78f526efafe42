"""Which URIs are understood, and what is said about the others."""

from __future__ import annotations

import pytest

from tidemill.config import load_settings
from tidemill.errors import ConfigError, ForbiddenUri
from tidemill.store import Location, Store


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("file:///srv/photos/a.jpg", Location("file", "", ("srv", "photos", "a.jpg"))),
        ("FILE:///srv/a.jpg", Location("file", "", ("srv", "a.jpg"))),
        ("file://localhost/srv/a.jpg", Location("file", "", ("srv", "a.jpg"))),
        ("file:///srv/with%20space/100%25.jpg", Location("file", "", ("srv", "with space", "100%.jpg"))),
        ("file:///srv//twice///a.jpg", Location("file", "", ("srv", "twice", "a.jpg"))),
        ("file:///srv/%C3%BC.jpg", Location("file", "", ("srv", "ü.jpg"))),
        ("file:///srv/...jpg", Location("file", "", ("srv", "...jpg"))),
        ("s3://bucket/a b/c?d#e.jpg", Location("s3", "bucket", ("a b", "c?d#e.jpg"))),
        ("s3://bucket/100%.jpg", Location("s3", "bucket", ("100%.jpg",))),
        ("gs://my-bucket.eu/x", Location("gs", "my-bucket.eu", ("x",))),
        ("az://container/x", Location("az", "container", ("x",))),
    ],
)
def test_a_plain_uri_is_understood_and_can_be_written_again(uri: str, expected: Location) -> None:
    found = Location.parse(uri)
    assert found == expected
    assert Location.parse(found.uri) == expected


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("/etc/passwd", r"'/etc/passwd' isn't a URI of the form scheme://place/path\. Write file:///etc/passwd"),
        ("photos/a.jpg", r"isn't a URI of the form .* Write file:///absolute/path, or s3://bucket/path"),
        ("", r"'' isn't a URI"),
        ("file:/etc/passwd", r"isn't a URI of the form"),
        ("http://169.254.169.254/latest/meta-data/", r"has the scheme 'http'; only file, s3, gs, az are read"),
        ("https://example.org/a.jpg", r"has the scheme 'https'"),
        ("HTTP://[::1]/a", r"has the scheme 'http'"),
        ("ftp://host/a.jpg", r"has the scheme 'ftp'"),
        ("gopher://host/a", r"has the scheme 'gopher'"),
        ("data://text/plain,x", r"has the scheme 'data'"),
        ("data:image/png;base64,AAAA", r"isn't a URI of the form"),
        ("jar:file:///a.jar!/b", r"isn't a URI of the form"),
        ("s3a://bucket/a", r"has the scheme 's3a'"),
        ("file://server/share/a.jpg", r"names the host 'server'; files are read on this machine only"),
        ("file://user@localhost/a.jpg", r"names the host 'user@localhost'"),
        ("file:///srv/photos/../../etc/passwd", r"goes through '\.' or '\.\.'"),
        ("file:///srv/photos/%2e%2e/%2E%2e/etc/passwd", r"goes through '\.' or '\.\.'"),
        ("file:///srv/photos/%252e%252e/etc/passwd", r"goes through '\.' or '\.\.'"),
        ("file:///srv/photos/%25252e%25252e/etc/passwd", r"goes through '\.' or '\.\.'"),
        ("file:///srv/photos/..%2f..%2fetc/passwd", r"goes through '\.' or '\.\.'"),
        ("file:///srv/./a.jpg", r"goes through '\.' or '\.\.'"),
        ("s3://bucket/../other/a", r"goes through '\.' or '\.\.'"),
        ("s3://bucket/%2e%2e/a", r"goes through '\.' or '\.\.'"),
        ("file:///srv/photos\\..\\..\\etc", r"holds a backslash"),
        ("file:///srv/photos%5c..%5cetc", r"holds a backslash"),
        ("file:///srv/a.jpg%00.png", r"holds control characters"),
        ("file:///srv/a\x00.jpg", r"'file:///srv/a\\x00\.jpg' holds control characters"),
        ("s3://bucket/a%0d%0aHost:%20evil", r"holds control characters"),
        ("s3://bucket/%2500", r"holds control characters"),
        ("file:///srv/a.jpg?x=1", r"has a query or fragment"),
        ("file:///srv/a.jpg#x", r"has a query or fragment"),
        ("s3://user:secret@bucket/a", r"where a plain bucket name is expected"),
        ("s3://bucket:9000/a", r"where a plain bucket name is expected"),
        ("s3:///a", r"where a plain bucket name is expected"),
        ("s3://buc%6bet/a", r"where a plain bucket name is expected"),
        ("s3://bucket/" + "a" * 3000, r"has 3,012 characters, at most 2,048 are allowed"),
    ],
)
def test_a_uri_that_could_mean_another_place_is_refused(uri: str, told: str) -> None:
    with pytest.raises(ForbiddenUri, match=told) as caught:
        Location.parse(uri)
    assert caught.value.hint
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("uri", "prefix", "inside"),
    [
        ("s3://bucket/a", "s3://bucket", True),
        ("s3://bucket/a/b", "s3://bucket/a/", True),
        ("s3://bucket-evil/a", "s3://bucket", False),
        ("s3://bucket/photos-private/a", "s3://bucket/photos", False),
        ("s3://Bucket/a", "s3://bucket", False),
        ("gs://bucket/a", "s3://bucket", False),
        ("file:///srv/photos/a", "file:///srv/photos", True),
        ("file:///srv/photosynthesis", "file:///srv/photos", False),
        ("file:///srv", "file:///srv/photos", False),
    ],
)
def test_a_prefix_holds_whole_names_and_not_beginnings_of_names(uri: str, prefix: str, inside: bool) -> None:
    assert Location.parse(uri).within(Location.parse(prefix)) is inside


def test_a_setting_that_is_no_uri_is_named() -> None:
    with pytest.raises(ConfigError, match="Setting 'store_url' can't be used: '/srv/objects' isn't a URI"):
        Store.from_settings(load_settings(store_url="/srv/objects"))
    with pytest.raises(ConfigError, match="Setting 'store_allow' can't be used"):
        Store.from_settings(load_settings(store_allow=["http://example.org/"]))


def test_importing_the_store_imports_no_cloud_client() -> None:
    import subprocess
    import sys

    code = "import sys, tidemill.store; sys.exit('obstore' in sys.modules or 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0
