"""EXIF that is still true of a rendition: upright, with its own size, and without what described the source file.

Must never keep the orientation: the pixels are upright already, and a viewer would turn them again.
"""

from __future__ import annotations

from PIL import Image
from PIL.ExifTags import IFD, Base

# Tags that say how the source file's pixels were stored (TIFF 6.0, part 1); they would be lies in another file.
_OF_THE_FILE = (
    *range(254, 260),  # kind, width, height, bits per sample, compression
    262, 263, 264, 265, 266,  # photometric interpretation, cells, fill order
    273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291, 317, 318, 319, 320,  # strips, planes, palette, predictor
    *range(322, 326), 330, 332, 333, 334, 336, 337, 338, 339, 340, 341, 347,  # tiles, samples, JPEG tables
    513, 514, 529, 530, 531, 532,  # thumbnail, YCbCr
    700, 33723, 34377, 34675, 37724,  # XMP, IPTC, Photoshop, ICC: other formats inside
)  # fmt: skip
_SRGB = 1


def exif_for(exif: Image.Exif, width: int, height: int) -> bytes:
    """The source's EXIF, made true of a rendition.

    Args:
        exif: The source's.
        width: The rendition's, pixels; likewise `height`.

    Returns:
        A whole EXIF block that starts with `Exif\\0\\0`; empty if the source has none.
    """
    if not len(exif):
        return b""
    kept = Image.Exif()
    kept.endian = exif.endian or "<"
    for tag, value in exif.items():
        if tag not in _OF_THE_FILE and tag not in (IFD.Exif, IFD.GPSInfo):
            kept[tag] = value
    if Base.Orientation in kept:
        kept[Base.Orientation] = 1
    details = dict(exif.get_ifd(IFD.Exif))
    details.pop(IFD.Interop, None)  # says "Adobe RGB" in some cameras' files
    if details:
        for tag, value in ((Base.ExifImageWidth, width), (Base.ExifImageHeight, height), (Base.ColorSpace, _SRGB)):
            if tag in details:
                details[tag] = value
        kept[IFD.Exif] = details
    if position := dict(exif.get_ifd(IFD.GPSInfo)):
        kept[IFD.GPSInfo] = position
    return kept.tobytes() if len(kept) else b""
