"""Pictures made to order for the tests of the image stream, and ways to look at what comes out.

Everything is generated, so that each test says what is in its picture; photographs come from examples/photos.
"""

from __future__ import annotations

import io
import math
import struct
from pathlib import Path
from typing import Any, get_args

from PIL import Image, ImageChops, ImageStat

from streams.image.render import Rendered, RenderedFile, render
from streams.image.settings import ImageSettings
from tidemill.events import OriginalFormat, Rendition

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 200, 30), (30, 30, 220), (230, 220, 30)

# From upright to stored: the inverse of what the orientation asks a viewer to do (Exif 3.0, tag 0x0112).
STORE_AS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def ask(name: str = "r", **fields: Any) -> Rendition:
    """A rendition to ask for; everything not named has the contract's default."""
    return Rendition(name=name, **fields)


def rendered(data: bytes, *renditions: Rendition, metadata: Any = "strip", **limits: Any) -> Rendered:
    """What the stream makes of a picture, with every format that it knows switched on."""
    limits.setdefault("formats", get_args(OriginalFormat))
    return render(data, list(renditions) or [ask()], ImageSettings(**limits), metadata=metadata)


def only(data: bytes, **fields: Any) -> Image.Image:
    """The single rendition of a picture, opened and decoded."""
    (file,) = rendered(data, ask(**fields)).files
    return opened(file)


def opened(file: RenderedFile) -> Image.Image:
    """A rendition's pixels, read from its bytes; what is said of the file must be true."""
    image = Image.open(io.BytesIO(file.data))
    assert (image.format or "").lower() == file.format
    assert image.size == (file.width, file.height)
    image.load()
    return image


def saved(image: Image.Image, format_: str, **options: Any) -> bytes:
    """A picture's file."""
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def corners(width: int = 400, height: int = 240) -> Image.Image:
    """Red, green, blue and yellow: top left, top right, bottom left, bottom right."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(YELLOW, (width // 2, height // 2, width, height))
    return image


def with_orientation(upright: Image.Image, orientation: int, format_: str = "JPEG", **options: Any) -> bytes:
    """A file that shows this picture if its EXIF orientation is obeyed."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright.transpose(STORE_AS[orientation]) if orientation in STORE_AS else upright
    return saved(stored, format_, exif=exif.tobytes(), **options)


def color_at(image: Image.Image, x: float, y: float) -> tuple[int, ...]:
    """The colour at a place given as fractions of width and height."""
    pixel = image.convert("RGBA").getpixel((int(x * image.width), int(y * image.height)))
    assert isinstance(pixel, tuple)
    red, green, blue, alpha = pixel
    return (int(red), int(green), int(blue), int(alpha))


def is_near(found: tuple[int, ...], expected: tuple[int, ...], tolerance: int = 12) -> bool:
    """Whether two colours look the same; alpha counts only if it is expected."""
    return all(abs(one - other) <= tolerance for one, other in zip(found, expected, strict=False))


def psnr_db(one: Image.Image, other: Image.Image) -> float:
    """Peak signal-to-noise ratio of two pictures of one size, decibels."""
    squares = ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).sum2
    mean = sum(squares) / (3 * one.width * one.height)
    return math.inf if mean == 0 else 10 * math.log10(255**2 / mean)


def photo(name: str = "casa-mila-courtyard.jpg") -> Image.Image:
    """A photograph's pixels, as stored."""
    image = Image.open(PHOTOS / name)
    image.load()
    return image


def photo_bytes(name: str = "casa-mila-courtyard.jpg") -> bytes:
    """A photograph's file."""
    return (PHOTOS / name).read_bytes()


def _tagged(header: bytes, tags: dict[bytes, bytes]) -> bytes:
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for signature, content in tags.items():
        padded = content + b"\0" * (-len(content) % 4)
        table += signature + struct.pack(">II", offset + len(body), len(content))
        body += padded
    return struct.pack(">I", 128 + len(table) + len(body)) + header[4:] + table + body


def _header(kind: bytes, space: bytes, connection: bytes) -> bytes:
    d50 = struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    head = b"\0" * 4 + b"\0" * 4 + b"\x02\x40\0\0" + kind + space + connection + struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    head += b"acsp" + b"\0" * 28 + d50
    return head + b"\0" * (128 - len(head))


def _text(signature: bytes, text: str) -> bytes:
    raw = text.encode() + b"\0"
    if signature == b"desc":
        return b"desc" + b"\0" * 4 + struct.pack(">I", len(raw)) + raw + b"\0" * 78
    return b"text" + b"\0" * 4 + raw


def _xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ " + b"\0" * 4 + struct.pack(">iii", *(round(value * 65_536) for value in (x, y, z)))


def _gamma(gamma: float) -> bytes:
    return b"curv" + b"\0" * 4 + struct.pack(">IH", 1, round(gamma * 256))


# Columns of Display P3's matrix to XYZ, adapted to D50.
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))


def rgb_profile(gamma: float = 2.2, name: str = "Wide like P3") -> bytes:
    """A profile with the primaries of Display P3."""
    tags = {b"desc": _text(b"desc", name), b"cprt": _text(b"text", "none"), b"wtpt": _xyz(0.9642, 1.0, 0.8249)}
    tags |= {b"rXYZ": _xyz(*P3[0]), b"gXYZ": _xyz(*P3[1]), b"bXYZ": _xyz(*P3[2])}
    tags |= {channel: _gamma(gamma) for channel in (b"rTRC", b"gTRC", b"bTRC")}
    return _tagged(_header(b"mntr", b"RGB ", b"XYZ "), tags)


def grey_profile(gamma: float) -> bytes:
    """A profile for grey pixels."""
    tags = {b"desc": _text(b"desc", "Grey"), b"cprt": _text(b"text", "none"), b"wtpt": _xyz(0.9642, 1.0, 0.8249)}
    return _tagged(_header(b"mntr", b"GRAY", b"XYZ "), tags | {b"kTRC": _gamma(gamma)})


def cmyk_profile() -> bytes:
    """A profile of a strange press, on which the cyan ink is a green: nobody would guess that without the profile."""
    white, green, black = (255, 128, 128), (140, 70, 180), (0, 128, 128)
    grid = b""
    for node in range(16):
        cyan, magenta, yellow, key = (node >> shift & 1 for shift in (3, 2, 1, 0))
        if key or magenta or yellow:
            grid += bytes(black)
        else:
            grid += bytes(green if cyan else white)
    identity = bytes(range(256))
    matrix = struct.pack(">9i", 65_536, 0, 0, 0, 65_536, 0, 0, 0, 65_536)
    table = b"mft1" + b"\0" * 4 + bytes((4, 3, 2, 0)) + matrix + identity * 4 + grid + identity * 3
    tags = {b"desc": _text(b"desc", "Green press"), b"cprt": _text(b"text", "none"), b"A2B0": table}
    tags |= {b"wtpt": _xyz(0.9642, 1.0, 0.8249)}
    return _tagged(_header(b"prtr", b"CMYK", b"Lab "), tags)
