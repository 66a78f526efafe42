"""What a rendition says about itself: nothing, or what is still true."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from tests.unit.image_samples import ask, corners, only, opened, rendered, rgb_profile, saved


def _camera_exif(orientation: int = 6) -> bytes:
    exif = Image.Exif()
    exif[Base.Make] = "Tide Cameras"
    exif[Base.Orientation] = orientation
    exif[Base.Copyright] = "Somebody"
    exif[IFD.Exif] = {
        Base.ExposureTime: 0.01,
        Base.ExifImageWidth: 4000,
        Base.ExifImageHeight: 3000,
        Base.ColorSpace: 65535,
    }
    exif[IFD.GPSInfo] = {GPS.GPSLatitudeRef: "N", GPS.GPSLatitude: (52.0, 31.0, 12.0)}
    return exif.tobytes()


@pytest.mark.parametrize("format_", ["jpeg", "webp", "avif", "png"])
def test_stripping_leaves_no_position_no_profile_and_no_comment(format_: str) -> None:
    data = saved(
        corners(), "JPEG", exif=_camera_exif(), icc_profile=rgb_profile(), comment=b"a secret", xmp=b"<x>a secret</x>"
    )
    (file,) = rendered(data, ask(format=format_, width=100)).files
    found = opened(file)
    assert not dict(found.getexif())
    assert not {"icc_profile", "comment", "xmp", "exif"} & {key for key, value in found.info.items() if value}
    for leaked in (b"Tide Cameras", b"secret", b"Exif\0\0", b"GPS"):
        assert leaked not in file.data


@pytest.mark.parametrize("format_", ["jpeg", "webp", "avif", "png"])
def test_keeping_keeps_the_camera_and_the_position_but_not_the_orientation(format_: str) -> None:
    data = saved(corners(), "JPEG", exif=_camera_exif(6))
    (file,) = rendered(data, ask(format=format_, height=100), metadata="keep").files
    found = opened(file).getexif()
    assert found[Base.Make] == "Tide Cameras"
    assert found.get_ifd(IFD.GPSInfo)[GPS.GPSLatitude] == (52.0, 31.0, 12.0)
    assert found.get(Base.Orientation, 1) == 1
    details = found.get_ifd(IFD.Exif)
    assert details[Base.ExposureTime] == 0.01
    assert (details[Base.ExifImageWidth], details[Base.ExifImageHeight]) == (60, 100)
    assert details[Base.ColorSpace] == 1


def test_keeping_embeds_the_profile_that_the_pixels_now_have() -> None:
    from PIL import ImageCms

    data = saved(corners(), "JPEG", icc_profile=rgb_profile(name="Wide like P3"))
    (file,) = rendered(data, ask(width=100), metadata="keep").files
    profile = ImageCms.ImageCmsProfile(io.BytesIO(opened(file).info["icc_profile"]))
    assert ImageCms.getProfileDescription(profile).strip() == "sRGB built-in"


def test_tags_of_a_tiff_file_dont_come_along() -> None:
    exif = Image.Exif()
    exif[Base.Artist] = "Somebody"
    data = saved(corners(), "TIFF", exif=exif, compression="tiff_lzw")
    (file,) = rendered(data, ask(format="jpeg"), metadata="keep").files
    assert dict(opened(file).getexif()) == {Base.Artist: "Somebody"}


def test_exif_too_large_for_a_jpeg_is_left_out_and_noted() -> None:
    exif = Image.Exif()
    exif[Base.ImageDescription] = "x" * 70_000
    result = rendered(saved(corners(), "PNG", exif=exif), ask(format="jpeg"), metadata="keep")
    assert result.notes == ("The EXIF data (70,034 bytes) is larger than a JPEG can hold; it was left out.",)
    assert not dict(opened(result.files[0]).getexif())


@pytest.mark.parametrize(
    "broken", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_broken_exif_never_stops_a_picture(broken: bytes) -> None:
    options: dict[str, Any] = {"exif": broken}
    for metadata in ("strip", "keep"):
        result = rendered(saved(corners(), "JPEG", **options), ask(width=100), metadata=metadata)
        assert opened(result.files[0]).size == (100, 60)


def test_a_gif_has_no_place_for_metadata() -> None:
    assert only(saved(corners(), "GIF"), width=50).size == (50, 30)
    (file,) = rendered(saved(corners(), "GIF"), ask(width=50), metadata="keep").files
    assert file.data.startswith(b"GIF8")
