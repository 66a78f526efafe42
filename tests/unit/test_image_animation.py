"""Animations stay animations where the format can hold one."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image, ImageSequence

from streams.image.gif import count_frames
from tests.unit.image_samples import BLUE, GREEN, RED, ask, color_at, is_near, only, opened, rendered, saved

_COLORS = (RED, GREEN, BLUE)


def _moving(format_: str, durations_ms: tuple[int, ...] = (80, 200, 500), **options: Any) -> bytes:
    """Three frames of one colour each, with a transparent left half."""
    frames = []
    for color in _COLORS:
        frame = Image.new("RGBA", (60, 40), (0, 0, 0, 0))
        frame.paste((*color, 255), (30, 0, 60, 40))
        # Without a translucent pixel, Pillow takes an animated WebP for opaque when it reads it.
        frame.paste((*color, 128), (28, 0, 30, 40))
        frames.append(frame)
    if format_ == "GIF":
        options = {"disposal": 2, **options}
    if format_ == "WEBP":
        options = {"lossless": True, **options}
    return saved(frames[0], format_, save_all=True, append_images=frames[1:], duration=list(durations_ms), **options)


def _frames(data: bytes) -> list[tuple[Image.Image, int]]:
    image = Image.open(io.BytesIO(data))
    found = []
    for frame in ImageSequence.Iterator(image):
        frame.load()
        found.append((frame.convert("RGBA"), round(frame.info["duration"])))
    return found


@pytest.mark.parametrize("target", ["same", "webp", "avif", "png"])
@pytest.mark.parametrize("source", ["GIF", "WEBP", "PNG"])
def test_every_frame_its_time_and_its_transparency_are_kept(source: str, target: str) -> None:
    result = rendered(_moving(source, loop=0), ask(width=30, format=target))
    assert result.original.frames == 3
    (file,) = result.files
    assert file.frames == 3
    frames = _frames(file.data)
    assert [duration for _, duration in frames] == [80, 200, 500]
    for (frame, _), color in zip(frames, _COLORS, strict=True):
        assert frame.size == (30, 20)
        assert is_near(color_at(frame, 0.8, 0.5), (*color, 255), 30)
        assert color_at(frame, 0.2, 0.5)[3] < 20


def test_an_avif_sequence_is_read_too() -> None:
    (file,) = rendered(_moving("AVIF"), ask(width=30, format="webp")).files
    assert [duration for _, duration in _frames(file.data)] == [80, 200, 500]


def test_a_still_format_shows_the_first_frame() -> None:
    result = rendered(
        _moving("GIF"), ask("still", width=30, format="jpeg", background="#ffffff"), ask("moving", width=30)
    )
    still, moving = result.files
    assert (still.frames, moving.frames) == (1, 3)
    assert is_near(color_at(opened(still), 0.8, 0.5), RED, 30)
    assert is_near(color_at(opened(still), 0.2, 0.5), (255, 255, 255))


@pytest.mark.parametrize(
    ("in_gif", "gif_plays", "webp_plays"), [({}, None, 1), ({"loop": 0}, 0, 0), ({"loop": 4}, 4, 5)]
)
def test_it_is_played_as_often_as_before(in_gif: dict[str, Any], gif_plays: int | None, webp_plays: int) -> None:
    as_gif, as_webp = rendered(_moving("GIF", **in_gif), ask("a"), ask("b", format="webp")).files
    assert opened(as_gif).info.get("loop") == gif_plays
    assert opened(as_webp).info["loop"] == webp_plays
    (again,) = rendered(as_webp.data, ask(format="png")).files
    assert opened(again).info["loop"] == webp_plays


def test_frames_too_short_to_show_get_the_time_that_browsers_give_them() -> None:
    (file,) = rendered(_moving("GIF", (0, 10, 30)), ask(format="webp")).files
    assert [duration for _, duration in _frames(file.data)] == [100, 100, 30]


def test_the_still_picture_inside_an_apng_is_no_frame() -> None:
    frames = [Image.new("RGB", (20, 20), color) for color in _COLORS]
    data = saved(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True, duration=[70, 90])
    result = rendered(data, ask("moving", format="webp"), ask("still", format="jpeg"))
    moving, still = result.files
    assert (result.original.frames, moving.frames) == (2, 2)
    assert is_near(color_at(_frames(moving.data)[0][0], 0.5, 0.5), GREEN, 25)
    assert is_near(color_at(opened(still), 0.5, 0.5), GREEN, 25)


def test_an_animation_is_padded_and_covered_frame_by_frame() -> None:
    padded, covered = rendered(
        _moving("GIF"),
        ask("padded", width=50, height=50, fit="pad", background="#000000", format="webp"),
        ask("covered", width=20, height=20, fit="cover", format="webp"),
    ).files
    for (frame, _), color in zip(_frames(padded.data), _COLORS, strict=True):
        assert frame.size == (50, 50)
        assert is_near(color_at(frame, 0.5, 0.03), (0, 0, 0, 255), 25)
        assert is_near(color_at(frame, 0.8, 0.5), color, 40)
    assert all(frame.size == (20, 20) for frame, _ in _frames(covered.data))


def test_a_gif_with_one_frame_is_a_still_picture() -> None:
    found = rendered(saved(Image.new("RGB", (10, 10), RED), "GIF"))
    assert (found.original.frames, found.files[0].frames) == (1, 1)
    assert is_near(color_at(only(saved(Image.new("RGB", (10, 10), RED), "GIF")), 0.5, 0.5), RED)


def test_frames_of_a_gif_are_counted_without_decoding_and_only_up_to_a_limit() -> None:
    data = _moving("GIF", loop=0)
    assert count_frames(data, at_most=100) == 3
    assert count_frames(data, at_most=1) == 2
    for cut in range(len(data)):
        assert 0 <= count_frames(data[:cut], at_most=100) <= 3
