"""The work for one event, from the picture's URI to the files in the store."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from streams.image.process import process
from streams.image.settings import ImageSettings
from tests.unit.image_samples import PHOTOS, ask, photo_bytes, saved
from tests.unit.image_samples import corners as corners_picture
from tidemill.config import load_settings
from tidemill.errors import ForbiddenUri, ObjectMissing, ObjectTooLarge, Reject
from tidemill.events import ImageProcessed, ImageRequested
from tidemill.store import Store


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    folder.mkdir()
    (folder / "courtyard.jpg").write_bytes(photo_bytes())
    return folder


@pytest.fixture
def store(tmp_path: Path, uploads: Path) -> Store:
    settings = load_settings(store_url=(tmp_path / "objects").as_uri(), store_allow=[uploads.as_uri()])
    return Store.from_settings(settings)


def _request(path: Path, **fields: object) -> ImageRequested:
    renditions = [ask("large", width=800), ask("thumb", width=150, height=150, fit="cover", format="webp")]
    return ImageRequested(**{"source": path.as_uri(), "renditions": renditions} | fields)  # type: ignore[arg-type]


def _files(tmp_path: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(tmp_path)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in (tmp_path / "objects").rglob("*")
        if path.is_file()
    }


def test_every_rendition_is_where_and_what_the_result_says(tmp_path: Path, uploads: Path, store: Store) -> None:
    result = process(_request(uploads / "courtyard.jpg"), store, ImageSettings())
    assert [(each.name, each.format, each.width, each.height) for each in result.renditions] == [
        ("large", "jpeg", 800, 534),
        ("thumb", "webp", 150, 150),
    ]
    for each in result.renditions:
        data = Path(each.uri.removeprefix("file://")).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (each.bytes, each.sha256)
        assert each.sha256 in each.uri
    assert result.original.sha256 == hashlib.sha256(photo_bytes()).hexdigest()
    assert result.original.bytes == len(photo_bytes())
    assert result.blurhash
    assert len(_files(tmp_path)) == 2


def test_the_same_event_again_writes_nothing(tmp_path: Path, uploads: Path, store: Store) -> None:
    request = _request(uploads / "courtyard.jpg", metadata="keep")
    first, files = process(request, store, ImageSettings()), _files(tmp_path)
    assert process(request, store, ImageSettings()) == first
    assert _files(tmp_path) == files


def test_a_lost_file_is_made_again_and_is_the_same(tmp_path: Path, uploads: Path, store: Store) -> None:
    request = _request(uploads / "courtyard.jpg")
    first = process(request, store, ImageSettings())
    lost = Path(first.renditions[0].uri.removeprefix("file://"))
    before = lost.read_bytes()
    lost.unlink()
    assert process(request, store, ImageSettings()) == first
    assert lost.read_bytes() == before


def test_equal_renditions_share_a_file(tmp_path: Path, uploads: Path, store: Store) -> None:
    request = _request(uploads / "courtyard.jpg", renditions=[ask("a", width=100), ask("b", width=100)])
    one, other = process(request, store, ImageSettings()).renditions
    assert one.uri == other.uri
    assert len(_files(tmp_path)) == 1


def test_it_works_in_a_process_of_its_own(uploads: Path, store: Store) -> None:
    request = _request(uploads / "courtyard.jpg")
    work = "import pickle, sys; f, *a = pickle.load(sys.stdin.buffer); sys.stdout.buffer.write(pickle.dumps(f(*a)))"
    there = subprocess.run(
        [sys.executable, "-c", work],
        input=pickle.dumps((process, request, store, ImageSettings())),
        capture_output=True,
        check=True,
        timeout=60,
    )
    result = pickle.loads(there.stdout)
    assert isinstance(result, ImageProcessed)
    assert result == process(request, store, ImageSettings())


def test_the_declared_checksum_of_the_source_is_held_to(uploads: Path, store: Store) -> None:
    right = hashlib.sha256(photo_bytes()).hexdigest()
    assert process(_request(uploads / "courtyard.jpg", source_sha256=right), store, ImageSettings())
    wrong = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(Reject, match=f"its SHA-256 is {right}, expected {wrong}"):
        process(_request(uploads / "courtyard.jpg", source_sha256=wrong), store, ImageSettings())
    with pytest.raises(Reject, match="source_sha256 'abc' isn't 64 lowercase hex digits"):
        process(_request(uploads / "courtyard.jpg", source_sha256="abc"), store, ImageSettings())


def test_a_missing_picture_is_told_to_be_missing(uploads: Path, store: Store) -> None:
    with pytest.raises(ObjectMissing, match=r"There is no file '.*/none\.jpg'"):
        process(_request(uploads / "none.jpg"), store, ImageSettings())


def test_200_megabytes_are_refused_without_being_read(uploads: Path, store: Store) -> None:
    with (uploads / "huge.jpg").open("wb") as file:
        file.truncate(200_000_000)
    with pytest.raises(ObjectTooLarge, match=r"huge.jpg' has 200,000,000 bytes; at most 64,000,000 bytes are read"):
        process(_request(uploads / "huge.jpg"), store, ImageSettings())


def test_a_picture_outside_the_allowed_prefixes_is_not_read(tmp_path: Path, store: Store) -> None:
    (tmp_path / "private.jpg").write_bytes(photo_bytes())
    with pytest.raises(ForbiddenUri, match="lies outside the object store and the prefixes"):
        process(_request(tmp_path / "private.jpg"), store, ImageSettings())


def test_a_request_that_makes_no_sense_is_refused_before_anything_is_read(uploads: Path, store: Store) -> None:
    with pytest.raises(Reject, match=r"renditions\[0\].width is 0"):
        process(_request(uploads / "none.jpg", renditions=[ask(width=0)]), store, ImageSettings())


def test_a_file_with_a_wrong_extension_is_processed_as_what_it_is(uploads: Path, store: Store) -> None:
    (uploads / "claims.gif").write_bytes(saved(corners_picture(), "PNG"))
    result = process(_request(uploads / "claims.gif"), store, ImageSettings())
    assert result.original.format == "png"
    assert result.renditions[0].format == "png"


def test_nothing_is_written_if_the_picture_is_broken(tmp_path: Path, uploads: Path, store: Store) -> None:
    (uploads / "broken.jpg").write_bytes(photo_bytes("broken.jpg"))
    with pytest.raises(Reject, match="truncated"):
        process(_request(uploads / "broken.jpg"), store, ImageSettings())
    assert not (tmp_path / "objects").exists()


@pytest.mark.parametrize("name", sorted(path.name for path in PHOTOS.iterdir() if path.suffix != ".md"))
def test_every_photograph_of_the_demo_is_processed_or_told_to_be_broken(
    tmp_path: Path, name: str, uploads: Path, store: Store
) -> None:
    (uploads / name).write_bytes(photo_bytes(name))
    if name == "broken.jpg":
        with pytest.raises(Reject):
            process(_request(uploads / name), store, ImageSettings())
        return
    result = process(_request(uploads / name), store, ImageSettings())
    assert result.notes == []
    shown = ImageOps.exif_transpose(Image.open(PHOTOS / name))
    assert (result.original.width, result.original.height) == shown.size
    assert result.renditions[0].width == min(800, shown.width)
