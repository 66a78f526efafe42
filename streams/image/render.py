"""Bytes in, bytes out: all renditions of one picture.

The order of work: check what is asked for, open and measure, plan every size, decode once, scale, encode. Must touch
no file and no network, and give the same bytes for the same input.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from streams.image.canvas import on_canvas
from streams.image.color import Profile
from streams.image.encode import MAX_JPEG_EXIF_BYTES, MEDIA_TYPES, WITH_ALPHA, Animation, encode
from streams.image.frames import decode_frames, plays
from streams.image.geometry import place
from streams.image.metadata import exif_for
from streams.image.placeholder import THUMBNAIL_SIDE, blurhash, dominant_color
from streams.image.plan import Target, plan, shown_size
from streams.image.request import check_renditions, parse_color
from streams.image.scale import scale_to_all
from streams.image.settings import ImageSettings
from streams.image.source import Source, fenced, open_source
from tidemill.events import Metadata, Original, Rendition, ResultFormat


@dataclass(frozen=True)
class RenderedFile:
    """One rendition: its bytes and what they are."""

    name: str
    data: bytes
    sha256: str
    width: int
    height: int
    format: ResultFormat
    frames: int

    @property
    def content_type(self) -> str:
        """Media type, e.g. `image/jpeg`."""
        return MEDIA_TYPES[self.format]


@dataclass(frozen=True)
class Rendered:
    """All that was made from one picture."""

    original: Original
    dominant_color: str
    blurhash: str
    files: tuple[RenderedFile, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Pictures:
    """The composed frames of each target, and what was learnt on the way."""

    by_target: list[list[Image.Image]]
    thumbnail: Image.Image
    durations_ms: tuple[int, ...]
    profile: Profile


def render(
    data: bytes, renditions: Sequence[Rendition], settings: ImageSettings, *, metadata: Metadata = "strip"
) -> Rendered:
    """Make all renditions of a picture.

    Args:
        data: The picture's file.
        renditions: What to make.
        settings: Limits and default qualities.
        metadata: Whether EXIF is kept.

    Raises:
        Reject: The request makes no sense, or the picture is none, is broken or is over a limit.
    """
    check_renditions(renditions, settings)
    source = open_source(data, settings)
    targets = plan(source, renditions, settings)
    pictures = _make_pictures(source, targets)
    notes = [*source.notes, *([pictures.profile.note] if pictures.profile.note else [])]
    animation = Animation(pictures.durations_ms, plays(source)) if len(pictures.durations_ms) > 1 else None
    files = []
    for frames, target in zip(pictures.by_target, targets, strict=True):
        exif = _exif(source, target, frames[0], notes) if metadata == "keep" else b""
        encoded = encode(
            frames,
            target.format,
            quality=target.rendition.quality or settings.quality_of(target.format),
            animation=animation if target.animated else None,
            exif=exif,
            profile=metadata == "keep",
        )
        files.append(_file(encoded, target, frames[0]))
    width, height = shown_size(source)
    original = Original(
        sha256=hashlib.sha256(data).hexdigest(),
        bytes=len(data),
        width=width,
        height=height,
        format=source.format,
        mode=source.mode,
        frames=source.frames,
        orientation=source.orientation,
        orientation_applied=source.orientation != 1,
        color_profile=pictures.profile.name,
    )
    thumbnail = pictures.thumbnail
    return Rendered(original, dominant_color(thumbnail), blurhash(thumbnail), tuple(files), tuple(dict.fromkeys(notes)))


def _make_pictures(source: Source, targets: Sequence[Target]) -> _Pictures:
    width, height = shown_size(source)
    small = place(width, height, width=THUMBNAIL_SIDE, height=THUMBNAIL_SIDE, fit="contain", enlarge=False)
    by_target: list[list[Image.Image]] = [[] for _ in targets]
    durations_ms: list[int] = []
    decoded = decode_frames(
        source,
        [target.placement for target in targets],
        all_frames=any(target.animated for target in targets),
    )
    frame, duration_ms = next(decoded)
    *scaled, thumbnail = scale_to_all(frame, [*(target.placement for target in targets), small])
    for composed, target, image in zip(by_target, targets, scaled, strict=True):
        composed.append(_composed(image, target))
    durations_ms.append(duration_ms)

    moving = [(composed, target) for composed, target in zip(by_target, targets, strict=True) if target.animated]
    for later, duration_ms in decoded:
        scaled = scale_to_all(later, [target.placement for _, target in moving])
        for (composed, target), image in zip(moving, scaled, strict=True):
            composed.append(_composed(image, target))
        durations_ms.append(duration_ms)
    for composed, _ in moving:
        if len({image.mode for image in composed}) > 1:
            composed[:] = [image.convert("RGBA") for image in composed]
    return _Pictures(by_target, thumbnail, tuple(durations_ms), frame.profile)


def _composed(image: Image.Image, target: Target) -> Image.Image:
    background = parse_color(target.rendition.background)
    return on_canvas(image, target.placement, background, keep_alpha=target.format in WITH_ALPHA)


def _exif(source: Source, target: Target, image: Image.Image, notes: list[str]) -> bytes:
    if target.format == "gif":
        return b""
    with fenced(source.format, notes, max_pixels=source.max_pixels):
        exif = exif_for(source.exif, image.width, image.height)
    if target.format == "jpeg" and len(exif) > MAX_JPEG_EXIF_BYTES:
        notes.append(f"The EXIF data ({len(exif):,} bytes) is larger than a JPEG can hold; it was left out.")
        return b""
    return exif


def _file(data: bytes, target: Target, image: Image.Image) -> RenderedFile:
    return RenderedFile(
        name=target.rendition.name,
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        width=image.width,
        height=image.height,
        format=target.format,
        # Encoders merge frames that don't differ: look at what was written.
        frames=_frames_of(data) if target.animated else 1,
    )


def _frames_of(data: bytes) -> int:
    with Image.open(io.BytesIO(data)) as image:
        return getattr(image, "n_frames", 1)
