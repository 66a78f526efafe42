"""How many frames a GIF has, by walking its blocks without decoding any (GIF89a specification, appendix B).

Pillow counts by parsing every frame, which a hostile file can make as long as it likes; this stops at a limit.
"""

from __future__ import annotations

_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B


def count_frames(data: bytes, at_most: int) -> int:
    """Frames in a GIF.

    Args:
        data: The file. If it ends early or is damaged, the frames until there count.
        at_most: Counting stops at `at_most + 1`.
    """
    frames = 0
    try:
        at = 13 + _color_table_bytes(data[10])
        while frames <= at_most:
            block = data[at]
            if block == _IMAGE:
                frames += 1
                # 10 bytes of descriptor, 1 of LZW code size.
                at = _after_sub_blocks(data, at + 10 + _color_table_bytes(data[at + 9]) + 1)
            elif block == _EXTENSION:
                at = _after_sub_blocks(data, at + 2)
            elif block == _TRAILER:
                break
            else:
                # Decoders skip stray bytes between blocks.
                at += 1
    except IndexError:
        pass  # the file ends in the middle of a block; the decoder will say so if it matters
    return frames


def _color_table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_sub_blocks(data: bytes, at: int) -> int:
    while size := data[at]:
        at += size + 1
    return at + 1
