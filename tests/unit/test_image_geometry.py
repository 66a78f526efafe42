"""Which size comes out, for every way of asking."""

from __future__ import annotations

import pytest

from streams.image.geometry import place, stored_part


def _sizes(source: tuple[int, int], **asked: object) -> tuple[tuple[int, int], tuple[int, int]]:
    fields = {"width": None, "height": None, "fit": "contain", "enlarge": False} | asked
    found = place(*source, **fields)  # type: ignore[arg-type]
    return (found.width, found.height), (found.canvas_width, found.canvas_height)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"width": 400}, (400, 300)),
        ({"height": 300}, (400, 300)),
        ({"width": 400, "height": 400}, (400, 300)),
        ({"width": 1000, "height": 150}, (200, 150)),
        ({}, (800, 600)),
        ({"width": 1, "height": 1}, (1, 1)),
    ],
)
def test_contain_keeps_the_ratio_within_both_sides(asked: dict[str, int], expected: tuple[int, int]) -> None:
    assert _sizes((800, 600), **asked) == (expected, expected)


def test_nothing_is_enlarged_unless_asked() -> None:
    assert _sizes((80, 60), width=400) == ((80, 60), (80, 60))
    assert _sizes((80, 60), width=400, enlarge=True) == ((400, 300), (400, 300))


def test_cover_fills_both_sides_with_the_middle() -> None:
    found = place(800, 600, width=300, height=300, fit="cover", enlarge=False)
    assert (found.width, found.height) == (300, 300)
    assert found.part == (0.125, 0.0, 0.875, 1.0)
    upright = place(600, 800, width=300, height=100, fit="cover", enlarge=False)
    assert upright.part == pytest.approx((0.0, 0.375, 1.0, 0.625))


def test_cover_of_a_small_picture_keeps_the_asked_ratio() -> None:
    assert _sizes((80, 60), width=300, height=300, fit="cover") == ((60, 60), (60, 60))
    assert _sizes((80, 60), width=300, height=300, fit="cover", enlarge=True) == ((300, 300), (300, 300))


def test_pad_puts_the_whole_picture_on_a_canvas_of_exactly_that_size() -> None:
    assert _sizes((800, 600), width=300, height=300, fit="pad") == ((300, 225), (300, 300))
    assert _sizes((80, 60), width=300, height=300, fit="pad") == ((80, 60), (300, 300))
    assert _sizes((80, 60), width=300, height=300, fit="pad", enlarge=True) == ((300, 225), (300, 300))


def test_an_extreme_ratio_still_leaves_a_pixel() -> None:
    assert _sizes((10_000, 3), width=100) == ((100, 1), (100, 1))
    assert _sizes((10_000, 10), width=100, height=100, fit="cover") == ((10, 10), (10, 10))


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, (0.1, 0.2, 0.5, 0.9)),
        (2, (0.5, 0.2, 0.9, 0.9)),
        (3, (0.5, 0.1, 0.9, 0.8)),
        (4, (0.1, 0.1, 0.5, 0.8)),
        (5, (0.2, 0.1, 0.9, 0.5)),
        (6, (0.2, 0.5, 0.9, 0.9)),
        (7, (0.1, 0.5, 0.8, 0.9)),
        (8, (0.1, 0.1, 0.8, 0.5)),
    ],
)
def test_a_part_is_found_in_the_picture_as_it_is_stored(orientation: int, expected: tuple[float, ...]) -> None:
    assert stored_part((0.1, 0.2, 0.5, 0.9), orientation) == pytest.approx(expected)
