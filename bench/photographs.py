"""Photographs as a camera's: 12 megapixels, about 3 MB each, made once from examples/photos and kept in the cache.

The same on every machine with the same Pillow: grain comes from a seeded generator. Some are stored sideways and one in
ten has an Adobe RGB profile, as in life.
"""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from PIL import Image, ImageChops, ImageOps
from PIL.ExifTags import Base

SOURCES = tuple(
    sorted(path for path in Path(__file__).parents[1].glob("examples/photos/*.jpg") if path.name != "broken.jpg")
)
SIZE = (4000, 3000)
# Part of the folder's name: raise it when the pictures change.
_EDITION = 2
_GRAIN_TILE = 500
_QUALITY = 88
# Measured so that a file has about 3 MB.
_GRAIN = 12


def photographs(cache_dir: Path, count: int) -> list[Path]:
    """Paths of that many pictures; the missing ones are made, two at a time.

    Args:
        cache_dir: Where they are kept, about 3 MB each.
        count: How many.
    """
    folder = cache_dir / "bench" / f"photographs-{_EDITION}"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:03}.jpg" for number in range(count)]
    missing = [(number, path) for number, path in enumerate(paths) if not path.exists()]
    if missing:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            list(pool.map(_make, *zip(*missing, strict=True)))
    return paths


def _make(number: int, path: Path) -> None:
    luck = random.Random(number)
    with Image.open(SOURCES[number % len(SOURCES)]) as small:
        profile = small.info.get("icc_profile")
        upright = ImageOps.exif_transpose(small)
    if luck.random() < 0.5:
        upright = ImageOps.mirror(upright)
    picture = ImageOps.fit(upright, SIZE, Image.Resampling.BICUBIC, centering=(luck.random(), luck.random()))
    picture = ImageChops.add(picture, _grain(luck), 1.0, -128)
    exif = Image.Exif()
    exif[Base.Make] = "Tidemill"
    if number % 4 == 3:
        picture = picture.transpose(Image.Transpose.ROTATE_90)
        exif[Base.Orientation] = 6
    unfinished = path.with_suffix(".part")
    picture.save(unfinished, "JPEG", quality=_QUALITY, exif=exif, icc_profile=profile)
    unfinished.replace(path)


def _grain(luck: random.Random) -> Image.Image:
    """Noise around middle grey, one tile repeated over the whole picture."""
    tile = Image.frombytes("L", (_GRAIN_TILE, _GRAIN_TILE), luck.randbytes(_GRAIN_TILE**2))
    tile = tile.point([128 + (value - 128) * _GRAIN // 128 for value in range(256)])
    grain = Image.new("L", SIZE)
    for left in range(0, SIZE[0], _GRAIN_TILE):
        for top in range(0, SIZE[1], _GRAIN_TILE):
            grain.paste(tile, (left, top))
    return Image.merge("RGB", (grain, grain, grain))
