"""The page's own type, embedded in it: Source Sans 3 and Source Serif 4 (SIL Open Font License, fonts/OFL.txt).

A machine may have no fonts at all, and no two have the same. Only the alphabets that a page uses go into it. What these
fonts don't have (Chinese, Arabic, ...) is taken from the machine that makes the PDF.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "fonts"
_FACES = (("Source Sans 3", "source-sans-3", (400, 600)), ("Source Serif 4", "source-serif-4", (600,)))
_ALPHABETS = {
    "latin": "0-FF,131,152-153,2BB-2BC,2C6,2DA,2DC,304,308,329,2000-206F,20AC,2122,2191,2193,2212,2215,FEFF,FFFD",
    "latin-ext": "100-130,132-151,154-2BA,2BD-2C5,2C7-2CC,2CE-2D7,2DD-2FF,1D00-1DBF,1E00-1E9F,1EF2-1EFF,2020,"
    "20A0-20AB,20AD-20C4,2113,2C60-2C7F,A720-A7FF",
    "greek": "370-377,37A-37F,384-38A,38C,38E-3A1,3A3-3FF",
    "cyrillic": "301,400-45F,490-491,4B0-4B1,2116",
}
"""Which characters each file has, as its maker says (unicode-range)."""


def font_faces(page: str) -> str:
    """The style sheet of the fonts that a page needs.

    Args:
        page: Its text.
    """
    used = {ord(letter) for letter in set(page)}
    return "".join(
        _face(family, stem, weight, alphabet)
        for alphabet in _ALPHABETS
        if any(low <= letter <= high for low, high in _ranges(alphabet) for letter in used)
        for family, stem, weights in _FACES
        for weight in weights
    )


@lru_cache(maxsize=len(_ALPHABETS) * 3)
def _face(family: str, stem: str, weight: int, alphabet: str) -> str:
    data = base64.b64encode((_FOLDER / f"{stem}-{alphabet}-{weight}.woff2").read_bytes()).decode()
    ranges = ",".join(f"U+{part}" for part in _ALPHABETS[alphabet].split(","))
    # Without format(): PlutoBook 0.20 leaves a source out whose format it is told.
    return (
        f"@font-face{{font-family:'{family}';font-weight:{weight};src:url('data:font/woff2;base64,{data}');"
        f"unicode-range:{ranges}}}\n"
    )


def _ranges(alphabet: str) -> Iterator[tuple[int, int]]:
    for part in _ALPHABETS[alphabet].split(","):
        low, _, high = part.partition("-")
        yield int(low, 16), int(high or low, 16)
