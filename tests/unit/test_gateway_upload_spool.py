"""An upload on its way: hashed, bounded by what it is, gone when it is given up."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from producers.gateway.errors import Problem
from producers.gateway.uploads.media_type import JPEG
from producers.gateway.uploads.settings import UploadSettings, load_upload_settings
from producers.gateway.uploads.spool import Spool, stored_name
from tests.unit.test_store_bucket import SmallS3, s3
from tidemill.errors import ConfigError
from tidemill.store import Store

__all__ = ["s3"]

PICTURE = b"\xff\xd8\xff\xe0" + bytes(6_000)
SETTINGS = UploadSettings(max_bytes={"image/jpeg": 10_000, "video/*": 20_000}, min_free_bytes=0)
CLIP = b"\x00\x00\x00\x18ftypisom" + bytes(20_000)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool", SETTINGS)


def test_a_file_is_hashed_and_named_by_its_content(spool: Spool, tmp_path: Path) -> None:
    spool.write([PICTURE[:1], PICTURE[1:5_000]])
    spool.write([PICTURE[5_000:]])
    spool.finish()
    digest = hashlib.sha256(PICTURE).hexdigest()
    assert (spool.sha256, spool.size_bytes, spool.media_type) == (digest, len(PICTURE), JPEG)
    store = Store.from_urls((tmp_path / "store").as_uri())
    name = stored_name(spool.sha256, spool.media_type)
    assert name == f"uploads/{digest[:2]}/{digest}.jpg"
    assert [store.put(name, spool.file, "image/jpeg").written for _ in range(2)] == [True, False]
    assert store.read(store.uri_of(name), 10_000) == PICTURE
    assert not spool.file.closed
    spool.close()


def test_nothing_is_on_the_disk_under_any_name(spool: Spool, tmp_path: Path) -> None:
    spool.write([PICTURE])
    assert list((tmp_path / "spool").iterdir()) == []
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    spool.close()


def test_a_large_one_goes_to_a_bucket_in_parts(s3: SmallS3, tmp_path: Path) -> None:
    content = CLIP[:24] + bytes(range(256)) * 40_000
    settings = SETTINGS.model_copy(update={"max_bytes": {"video/*": 20_000_000}})
    spool = Spool(tmp_path, settings)
    spool.write([content])
    spool.finish()
    name = stored_name(spool.sha256, spool.media_type)
    written = Store.from_urls("s3://bucket/results").put(name, spool.file, spool.media_type.name)
    spool.close()
    assert written.uri == f"s3://bucket/results/{name}"
    (stored,) = s3.objects.values()
    assert (hashlib.sha256(stored[0]).hexdigest(), stored[1]) == (hashlib.sha256(content).hexdigest(), "video/mp4")


@pytest.mark.parametrize(("content", "most"), [(PICTURE + bytes(10_000), 10_000), (CLIP, 20_000)])
def test_each_media_type_has_a_limit_of_its_own(spool: Spool, content: bytes, most: int) -> None:
    with pytest.raises(Problem, match=f"at most {most:,} bytes") as refused:
        spool.write(content[at : at + 1000] for at in range(0, len(content), 1000))
    assert (refused.value.status, refused.value.members) == (413, {"max_bytes": most})
    spool.close()


def test_what_is_announced_too_large_is_refused_before_its_bytes_come(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="any file may have at most 20,000 bytes"):
        Spool(tmp_path, SETTINGS, announced_bytes=20_001)
    spool = Spool(tmp_path, SETTINGS, announced_bytes=15_000)
    with pytest.raises(Problem, match="type image/jpeg may have at most 10,000"):
        spool.write([PICTURE])
    spool.close()


def test_what_is_not_taken_is_refused_at_its_first_bytes(spool: Spool) -> None:
    with pytest.raises(Problem, match="image/png; taken are image/jpeg, video/") as refused:
        spool.write([b"\x89PNG\r\n\x1a\n" + bytes(5000)])
    assert refused.value.status == 415
    spool.close()


@pytest.mark.parametrize(("content", "said"), [(b"", "empty"), (b"#!/bin/sh", "a program")])
def test_a_short_file_is_judged_at_its_end(spool: Spool, content: bytes, said: str) -> None:
    spool.write([content])
    with pytest.raises(Problem, match=said):
        spool.finish()
    spool.close()


def test_a_disk_that_is_nearly_full_takes_nothing(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"min_free_bytes": 1 << 60})
    with pytest.raises(Problem, match="no room") as refused:
        Spool(tmp_path, settings)
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "60"})


def test_a_disk_that_is_full_is_told_as_such(spool: Spool) -> None:
    spool.close()
    spool._file = Path("/dev/full").open("wb")  # noqa: SIM115 - closed as any spool is
    with pytest.raises(Problem, match="no room"):
        spool.write([PICTURE] * 2)
    spool.close()
    assert spool.file.closed


def test_settings_name_what_does_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"TIDEMILL_GATEWAY_UPLOAD_MAX_BYTES.*'pictures' is no media type"):
        load_upload_settings(max_bytes={"pictures": 1})
    with pytest.raises(ConfigError, match="image/png has 0 bytes"):
        load_upload_settings(max_bytes={"image/png": 0})
    assert load_upload_settings().most_bytes_of(JPEG) == 64_000_000
