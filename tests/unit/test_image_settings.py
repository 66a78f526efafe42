"""Limits from the environment."""

from __future__ import annotations

import pytest

from streams.image.settings import ImageSettings, load_image_settings
from tests.unit.image_samples import ask, corners, rendered, saved
from tidemill.errors import ConfigError, Reject


def test_a_limit_is_set_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_IMAGE_MAX_PIXELS", "1000")
    monkeypatch.setenv("TIDEMILL_IMAGE_FORMATS", '["png"]')
    settings = load_image_settings()
    assert (settings.max_pixels, settings.formats) == (1000, ("png",))


def test_every_wrong_setting_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMILL_IMAGE_MAX_FRAMES", "many")
    monkeypatch.setenv("TIDEMILL_IMAGE_JPEG_QUALITY", "200")
    with pytest.raises(ConfigError) as caught:
        load_image_settings()
    assert "TIDEMILL_IMAGE_MAX_FRAMES" in caught.value.message
    assert "'many'" in caught.value.message
    assert "TIDEMILL_IMAGE_JPEG_QUALITY" in caught.value.message
    assert "'200'" in caught.value.message


def test_a_default_quality_is_used_where_none_is_asked_for() -> None:
    low = rendered(saved(corners(), "PNG"), ask(format="jpeg"), jpeg_quality=5)
    asked = rendered(saved(corners(), "PNG"), ask(format="jpeg", quality=5))
    assert low.files[0].data == asked.files[0].data


def test_settings_can_be_sent_to_another_process() -> None:
    import pickle

    assert pickle.loads(pickle.dumps(ImageSettings(max_frames=3))).max_frames == 3


def test_the_limits_are_obeyed_by_the_renderer() -> None:
    with pytest.raises(Reject, match="at most 10 in all"):
        rendered(saved(corners(), "PNG"), max_pixels=10)
