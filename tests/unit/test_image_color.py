"""Colours come out as a calibrated screen would show them, whatever profile they came with."""

from __future__ import annotations

from PIL import Image

from tests.unit.image_samples import (
    P3,
    ask,
    cmyk_profile,
    color_at,
    corners,
    grey_profile,
    is_near,
    only,
    opened,
    photo_bytes,
    rendered,
    rgb_profile,
    saved,
)

# XYZ (D50) to linear sRGB: the inverse of IEC 61966-2-1's primaries, adapted by Bradford.
_XYZ_TO_SRGB = (
    (3.1338561, -1.6168667, -0.4906146),
    (-0.9787684, 1.9161415, 0.0334540),
    (0.0719453, -0.2289914, 1.4052427),
)


def _srgb_of(color: tuple[int, int, int], gamma: float) -> tuple[int, ...]:
    """What a colour of `rgb_profile` is in sRGB, by the arithmetic of the standards."""
    linear = [(value / 255) ** gamma for value in color]
    xyz = [sum(linear[channel] * P3[channel][axis] for channel in range(3)) for axis in range(3)]
    found = []
    for row in _XYZ_TO_SRGB:
        share = min(1.0, max(0.0, sum(weight * value for weight, value in zip(row, xyz, strict=True))))
        encoded = 12.92 * share if share <= 0.0031308 else 1.055 * share ** (1 / 2.4) - 0.055
        found.append(round(encoded * 255))
    return tuple(found)


def test_a_wide_gamut_profile_is_converted_to_srgb() -> None:
    for color in ((200, 100, 50), (60, 160, 90), (90, 80, 170)):
        data = saved(Image.new("RGB", (64, 64), color), "PNG", icc_profile=rgb_profile())
        expected = _srgb_of(color, 2.2)
        assert not is_near(expected, color, 5), "the profile must matter for this to prove anything"
        assert is_near(color_at(only(data, width=32, format="png"), 0.5, 0.5), expected, 2)


def test_the_profile_is_named_in_the_result() -> None:
    result = rendered(saved(corners(), "JPEG", icc_profile=rgb_profile(name="Wide\x07 one")))
    assert result.original.color_profile == "Wide one"
    assert result.notes == ()


def test_a_grey_profile_is_obeyed() -> None:
    data = saved(Image.new("L", (16, 16), 128), "PNG", icc_profile=grey_profile(1.0))
    found = only(data, format="png")
    assert found.mode == "L"
    assert is_near(color_at(found, 0.5, 0.5), (188, 188, 188), 2)


def test_a_cmyk_profile_says_what_the_inks_look_like() -> None:
    ink = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    red, green, blue, _ = color_at(only(saved(ink, "TIFF", icc_profile=cmyk_profile()), format="png"), 0.5, 0.5)
    assert green > red + 60
    assert green > blue + 60
    assert is_near(color_at(only(saved(ink, "TIFF"), format="png"), 0.5, 0.5), (0, 255, 255))


def test_transparency_survives_the_conversion_of_colours() -> None:
    image = Image.new("RGBA", (64, 64), (200, 100, 50, 77))
    found = only(saved(image, "PNG", icc_profile=rgb_profile()), width=32, format="png")
    assert is_near(color_at(found, 0.5, 0.5), (*_srgb_of((200, 100, 50), 2.2), 77), 3)


def test_a_palette_picture_with_a_profile_is_converted() -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    found = only(saved(image, "PNG", icc_profile=rgb_profile()), format="png")
    assert is_near(color_at(found, 0.5, 0.5), _srgb_of((200, 100, 50), 2.2), 2)


def test_lab_pixels_become_rgb() -> None:
    lab = Image.new("LAB", (8, 8), (138, 128, 128))
    assert is_near(color_at(only(saved(lab, "TIFF"), format="png"), 0.5, 0.5), (129, 129, 129), 3)


def test_a_profile_for_other_pixels_is_left_aside_and_noted() -> None:
    result = rendered(saved(Image.new("L", (8, 8), 128), "PNG", icc_profile=rgb_profile()), ask(format="png"))
    assert color_at(opened(result.files[0]), 0.5, 0.5)[:3] == (128, 128, 128)
    assert result.notes == ("The colour profile is for RGB but the pixels are grey; it was left aside.",)
    assert result.original.color_profile is None


def test_a_broken_profile_is_left_aside_and_noted() -> None:
    result = rendered(saved(corners(), "PNG", icc_profile=b"no profile at all" * 20), ask(format="png"))
    (note,) = result.notes
    assert note.startswith("The colour profile can't be used (")
    assert opened(result.files[0]).convert("RGB").tobytes() == corners().tobytes()


def test_a_profile_that_is_srgb_leaves_every_pixel_as_it_is() -> None:
    from streams.image.color import srgb_profile

    result = rendered(saved(corners(), "PNG", icc_profile=srgb_profile()), ask(format="png"))
    assert opened(result.files[0]).tobytes() == corners().tobytes()
    assert result.original.color_profile == "sRGB built-in"


def test_a_real_adobe_rgb_photograph_gains_its_true_colours() -> None:
    data = photo_bytes("rocket-on-the-pad.jpg")
    result = rendered(data, ask(width=200))
    assert result.original.color_profile == "Adobe RGB (1998)"
