"""Every kind of pixel comes out as people would see it."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from tests.unit.image_samples import (
    BLUE,
    GREEN,
    RED,
    YELLOW,
    ask,
    color_at,
    corners,
    is_near,
    only,
    opened,
    photo,
    psnr_db,
    rendered,
    saved,
    with_orientation,
)
from tidemill.errors import Reject


def _assert_corners(image: Image.Image, tolerance: int = 12) -> None:
    places = {(0.2, 0.2): RED, (0.8, 0.2): GREEN, (0.2, 0.8): BLUE, (0.8, 0.8): YELLOW}
    for place, expected in places.items():
        assert is_near(color_at(image, *place), expected, tolerance), (place, color_at(image, *place), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_picture_is_turned_upright(format_: str, orientation: int) -> None:
    data = with_orientation(corners(), orientation, format_)
    result = rendered(data, ask(width=100, format="png"), ask("square", width=60, height=60, fit="cover", format="png"))
    assert (result.original.width, result.original.height) == (400, 240)
    assert result.original.orientation == orientation
    assert result.original.orientation_applied is (orientation != 1)
    whole, square = map(opened, result.files)
    assert whole.size == (100, 60)
    assert square.size == (60, 60)
    _assert_corners(whole)
    _assert_corners(square)
    assert 0x0112 not in whole.getexif()


def test_a_nonsense_orientation_counts_as_upright_and_is_noted() -> None:
    result = rendered(with_orientation(corners(), 77), ask(width=100))
    _assert_corners(opened(result.files[0]))
    assert result.original.orientation == 1
    assert "EXIF orientation 77 isn't 1 to 8; the picture was taken as upright." in result.notes


def test_16_bit_grey_is_scaled_and_not_clipped() -> None:
    ramp = Image.frombytes("I;16", (256, 1), b"".join((step * 257).to_bytes(2, "little") for step in range(256)))
    for data in (saved(ramp.resize((256, 16), Image.Resampling.NEAREST), "PNG"), saved(ramp, "TIFF")):
        grey = only(data, format="png")
        assert grey.mode == "L"
        assert grey.tobytes()[:256] == bytes(range(256))


def test_big_endian_16_bit_tiff_is_read_alike() -> None:
    image = Image.frombytes("I;16B", (3, 1), b"\x00\x00\x80\x80\xff\xff")
    assert only(saved(image, "TIFF"), format="png").tobytes() == b"\x00\x80\xff"


def test_a_16_bit_grey_that_stands_for_transparent_is_transparent() -> None:
    image = Image.frombytes("I;16", (2, 1), (1000).to_bytes(2, "little") + (1001).to_bytes(2, "little"))
    found = only(saved(image, "PNG", transparency=1000), format="png")
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(3, 0), (3, 255)]


def test_float_pixels_are_refused_because_their_black_and_white_are_unknown() -> None:
    with pytest.raises(Reject, match=r"mode 'F', whose numbers have no defined black and white"):
        rendered(saved(Image.new("F", (8, 8), 0.5), "TIFF"))


def test_one_bit_pixels_are_smoothed_when_they_are_scaled() -> None:
    checks = Image.frombytes("1", (64, 64), bytes((0xAA,)) * 8 * 64)
    grey = only(saved(checks, "PNG"), width=16, format="png")
    assert all(90 < value < 165 for value in grey.tobytes())


@pytest.mark.parametrize("format_", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_becomes_rgb(format_: str) -> None:
    options = {"quality": 95} if format_ == "JPEG" else {}
    found = only(saved(corners().convert("CMYK"), format_, **options), width=100, format="png")
    assert found.mode == "RGB"
    _assert_corners(found, tolerance=20)


def test_a_palette_with_transparency_becomes_alpha() -> None:
    image = Image.new("P", (40, 20), 0)
    image.putpalette([*RED, *BLUE])
    image.paste(1, (20, 0, 40, 20))
    data = saved(image, "PNG", transparency=0)
    found = only(data, width=40, format="png")
    assert color_at(found, 0.1, 0.5)[3] == 0
    assert is_near(color_at(found, 0.9, 0.5), (*BLUE, 255))
    flat = only(data, width=40, format="jpeg", background="#00ff00")
    assert is_near(color_at(flat, 0.1, 0.5), (0, 255, 0))


def test_transparency_lies_on_the_background_where_the_format_has_none() -> None:
    image = Image.new("RGBA", (100, 100), (255, 0, 0, 128))
    flat = only(saved(image, "PNG"), format="jpeg", background="#0000ff")
    assert is_near(color_at(flat, 0.5, 0.5), (128, 0, 127))


def test_transparent_pixels_dont_bleed_into_their_neighbours() -> None:
    # Transparent pixels hold a colour that nobody sees; scaled naively, it would make a green edge.
    image = Image.new("RGBA", (400, 400), (0, 255, 0, 0))
    image.paste((255, 0, 0, 255), (100, 100, 300, 300))
    found = only(saved(image, "PNG"), width=37, format="png").convert("RGBA")
    for index in range(0, 37 * 37 * 4, 4):
        red, green, _, alpha = found.tobytes()[index : index + 4]
        assert alpha < 8 or (green < 30 and red > 225)


def test_an_alpha_channel_that_is_opaque_all_over_is_dropped() -> None:
    found = only(saved(corners().convert("RGBA"), "PNG"), format="same")
    assert found.mode == "RGB"


def test_pad_paints_the_canvas_and_centres_the_picture() -> None:
    found = only(saved(corners(200, 100), "PNG"), width=100, height=100, fit="pad", background="#102030")
    assert found.size == (100, 100)
    assert is_near(color_at(found, 0.5, 0.1), (0x10, 0x20, 0x30), 2)
    assert is_near(color_at(found, 0.2, 0.35), RED)
    assert is_near(color_at(found, 0.8, 0.65), YELLOW)


def test_pad_can_have_a_transparent_canvas() -> None:
    found = only(saved(corners(200, 100), "PNG"), width=100, height=100, fit="pad", background="#ffffff00")
    assert color_at(found, 0.5, 0.1)[3] == 0
    flat = only(
        saved(corners(200, 100), "PNG"), width=100, height=100, fit="pad", background="#ff00ff00", format="jpeg"
    )
    assert is_near(color_at(flat, 0.5, 0.1), (255, 0, 255))


def test_grey_stays_grey_unless_the_background_has_a_colour() -> None:
    grey = saved(Image.new("L", (100, 50), 90), "JPEG")
    assert only(grey, width=50, height=50, fit="pad").mode == "L"
    assert only(grey, width=50, height=50, fit="pad", background="#ff0000").mode == "RGB"


@pytest.mark.parametrize("format_", ["jpeg", "webp", "avif", "png"])
def test_every_format_can_be_asked_for(format_: str) -> None:
    (file,) = rendered(saved(corners(), "PNG"), ask(width=200, format=format_)).files
    assert file.content_type == f"image/{format_}"
    _assert_corners(opened(file), tolerance=20)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("JPEG", "jpeg"),
        ("PNG", "png"),
        ("WEBP", "webp"),
        ("GIF", "gif"),
        ("AVIF", "avif"),
        ("TIFF", "png"),
        ("BMP", "png"),
    ],
)
def test_same_keeps_the_format_unless_browsers_dont_show_it(source: str, expected: str) -> None:
    result = rendered(saved(corners(), source), ask(width=100))
    assert result.original.format == source.lower()
    assert result.files[0].format == expected
    _assert_corners(opened(result.files[0]), tolerance=24)


def test_jpegs_are_progressive() -> None:
    (file,) = rendered(saved(photo(), "JPEG"), ask(width=800, format="jpeg")).files
    assert Image.open(io.BytesIO(file.data)).info.get("progressive")


def test_quality_decides_between_size_and_likeness() -> None:
    low, high = rendered(
        saved(photo(), "PNG"),
        ask("a", width=600, quality=30, format="jpeg"),
        ask("b", width=600, quality=92, format="jpeg"),
    ).files
    assert len(low.data) * 3 < len(high.data)


@pytest.mark.parametrize("width", [1000, 790, 500, 400, 133])
def test_a_photograph_is_as_sharp_as_from_a_full_decode(width: int) -> None:
    # PNG, so that only decoding at a fraction and the cascade of sizes are compared; 40 dB is invisible.
    big = photo().resize((3200, 2134), Image.Resampling.BICUBIC)
    data = saved(big, "JPEG", quality=92)
    result = rendered(data, ask("first", width=1600, format="png"), ask(width=width, format="png"))
    full = Image.open(io.BytesIO(data)).convert("RGB")
    for file in result.files:
        ideal = full.resize((file.width, file.height), Image.Resampling.LANCZOS)
        assert psnr_db(opened(file), ideal) > 42


def test_the_same_picture_and_request_give_the_same_bytes() -> None:
    data = saved(photo(), "JPEG", quality=90)
    asked = [ask(format_, width=300, format=format_) for format_ in ("jpeg", "webp", "avif", "png")]
    first, second = (rendered(data, *asked, metadata="keep") for _ in range(2))
    assert first == second
