"""The dominant colour and the BlurHash."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from PIL import Image

from streams.image.placeholder import blurhash, dominant_color
from tests.unit.image_samples import BLUE, GREEN, RED, ask, corners, photo_bytes, rendered


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        # Made with blurhash-python 1.2.2, the binding of the reference implementation in C, with 4 x 3 components.
        (lambda: Image.linear_gradient("L").resize((32, 24)), "LyHV9woffQof00WBfQWBxuj[fQj["),
        (lambda: corners(32, 24), "L#J7{hdSaPtvjA]gsSJVaxsljsWX"),
        (lambda: Image.new("RGB", (16, 16), "black"), "L00000fQfQfQfQfQfQfQfQfQfQfQ"),
    ],
)
def test_the_blurhash_is_that_of_the_reference_implementation(make: Callable[[], Image.Image], expected: str) -> None:
    assert blurhash(make()) == expected


def test_an_upright_picture_gets_more_detail_down_than_across() -> None:
    # The first character holds the number of components: (across - 1) + 9 * (down - 1).
    assert blurhash(corners(24, 32)).startswith("T")
    assert blurhash(corners(32, 24)).startswith("L")


def test_transparent_parts_of_a_blurhash_are_white() -> None:
    image = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    assert blurhash(image) == blurhash(Image.new("RGB", (16, 16), "white"))


def test_the_dominant_colour_is_the_one_that_covers_most_and_no_mixture() -> None:
    image = Image.new("RGB", (32, 32), BLUE)
    image.paste(RED, (0, 0, 32, 12))
    assert dominant_color(image) == "#{:02x}{:02x}{:02x}".format(*BLUE)


def test_transparent_pixels_dont_count_for_the_dominant_colour() -> None:
    image = Image.new("RGBA", (32, 32), (*RED, 0))
    image.paste((*GREEN, 255), (0, 0, 8, 8))
    assert dominant_color(image) == "#{:02x}{:02x}{:02x}".format(*GREEN)


def test_an_entirely_transparent_picture_has_some_colour_too() -> None:
    assert re.fullmatch("#[0-9a-f]{6}", dominant_color(Image.new("RGBA", (4, 4), (1, 2, 3, 0))))


def test_a_single_pixel_has_both() -> None:
    assert dominant_color(Image.new("L", (1, 1), 7)) == "#070707"
    assert len(blurhash(Image.new("L", (1, 1), 7))) == 28


def test_photographs_get_the_colour_that_people_would_name() -> None:
    espresso = rendered(photo_bytes("cup-of-espresso.png"), ask(width=100)).dominant_color
    red, green, blue = bytes.fromhex(espresso[1:])
    assert red > 2 * green > 2 * blue, "the red cup and the brown table"
    rocket = rendered(photo_bytes("rocket-on-the-pad.jpg"), ask(width=100)).dominant_color
    red, green, blue = bytes.fromhex(rocket[1:])
    assert blue > green > red, "the evening sky"
    galaxies = rendered(photo_bytes("hubble-deep-field.jpg"), ask(width=100)).dominant_color
    assert max(bytes.fromhex(galaxies[1:])) < 40, "space"
