"""Colours as the web expects them: any profile's pixels turned into sRGB, and sRGB's own profile.

Relies on Little CMS through Pillow. A profile that can't be used is left aside with a note, as browsers do; the
picture is then taken as sRGB.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache, lru_cache

from PIL import Image, ImageCms

# What Photoshop and most printers' tools do by default; browsers agree for the usual profiles.
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION

_SPACES = {"RGB": "RGB", "L": "GRAY", "CMYK": "CMYK", "LAB": "Lab"}
_WORDS = {"RGB": "RGB", "L": "grey", "CMYK": "CMYK", "LAB": "Lab"}

# ICC.1:2022, 7.2: date and time of creation, which Little CMS fills in.
_DATE_BYTES = slice(24, 36)
_FIXED_DATE = bytes.fromhex("07e80001000100000000000000000000")[:12]


@dataclass(frozen=True)
class Profile:
    """How pixels of one mode become sRGB.

    Attributes:
        name: What the profile calls itself; None if it can't be used.
        transform: From its colours to sRGB; None if they are sRGB already, or it can't be used.
        note: Why it was left aside, in words.
    """

    name: str | None = None
    transform: ImageCms.ImageCmsTransform | None = None
    note: str | None = None


def read_profile(icc: bytes | None, mode: str) -> Profile:
    """What a picture's ICC profile asks for.

    Args:
        icc: The profile's bytes, from the picture.
        mode: The picture's mode, one of those of `pixels.py`.
    """
    if mode == "LAB":
        return _cached_profile(None, "LAB")
    if not icc:
        return Profile()
    return _cached_profile(icc, {"RGBA": "RGB", "LA": "L"}.get(mode, mode))


def to_srgb(image: Image.Image, profile: Profile) -> Image.Image:
    """The same picture with sRGB pixels, of mode L, LA, RGB or RGBA.

    Args:
        image: In one of the modes of `pixels.py`.
        profile: From `read_profile` for that mode.
    """
    transform = profile.transform
    if transform is None:
        return image.convert("RGB") if image.mode == "CMYK" else image
    if image.mode not in ("LA", "RGBA"):
        return _apply(image, transform)
    alpha = image.getchannel("A")
    opaque = image.getchannel("L") if image.mode == "LA" else image.convert("RGB")
    result = _apply(opaque, transform)
    result.putalpha(alpha)
    return result


@cache
def srgb_profile() -> bytes:
    """An ICC profile of sRGB; always the same bytes, so that files with it are too."""
    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[_DATE_BYTES] = _FIXED_DATE
    return bytes(made)


# A profile costs milliseconds to prepare, and the same few come again and again.
@lru_cache(maxsize=16)
def _cached_profile(icc: bytes | None, mode: str) -> Profile:
    try:
        if icc is None:
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        else:
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        found = source.profile.xcolor_space.strip()
        if found != _SPACES[mode]:
            return Profile(
                note=f"The colour profile is for {found} but the pixels are {_WORDS[mode]}; it was left aside."
            )
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), mode, "RGB", renderingIntent=_INTENT, flags=_FLAGS
        )
        name = None if icc is None else _name(source)
        return Profile(name, None if _changes_nothing(transform, mode) else transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        return Profile(note=f"The colour profile can't be used ({str(error).strip() or 'broken'}); it was left aside.")


def _name(profile: ImageCms.ImageCmsProfile) -> str:
    described = ImageCms.getProfileDescription(profile)
    return "".join(character for character in described if character.isprintable()).strip()[:100] or "unnamed"


def _apply(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    result = ImageCms.applyTransform(image, transform)
    if result is None:
        raise RuntimeError("Pillow transforms in place only if asked to")
    return result.convert("L") if image.mode == "L" else result


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a transform moves no colour visibly: most cameras' profile is sRGB under one name or other."""
    if mode not in ("RGB", "L"):
        return False
    steps = bytes(range(0, 256, 15))
    if mode == "L":
        probe = Image.frombytes("L", (len(steps), 1), steps)
    else:
        cube = bytes(value for red in steps for green in steps for blue in steps for value in (red, green, blue))
        probe = Image.frombytes("RGB", (len(steps) ** 2, len(steps)), cube)
    before, after = probe.tobytes(), _apply(probe, transform).tobytes()
    return all(abs(one - other) <= 2 for one, other in zip(before, after, strict=True))
