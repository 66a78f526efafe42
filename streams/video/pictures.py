"""Filters that make any source's pictures plain: one moment each, SDR, square pixels, a given size. Computes only.

What a file says of its colours is kept through all filters; where it says nothing, its size tells, as in players.
"""

from __future__ import annotations

from typing import Literal

from streams.video.geometry import Size
from streams.video.probe import Picture

HD_LINES = 720
"""From here on colours that aren't named count as BT.709, below as BT.601."""

# Bit-exact, so that the processor's extensions don't show in the result.
_SCALER = "flags=bicubic+accurate_rnd+full_chroma_int+bitexact"

Target = Literal["video", "jpeg", "webp", "rgb"]


def plain(picture: Picture, size: Size, *, max_fps: float | None = None) -> list[str]:
    """Filters for what all results share.

    Args:
        picture: The source's.
        size: The largest that is wanted: the dear ones get no more pixels than that.
        max_fps: Most pictures per second; None for any.
    """
    filters = ["bwdif=mode=send_frame:deint=interlaced"] if picture.interlaced else []
    if max_fps is not None and picture.fps is not None and picture.fps > max_fps:
        filters.append(f"fps={max_fps:g}")
    wide = picture.primaries == "bt2020"
    if not wide and not picture.hdr:
        return filters
    transfer = picture.transfer if picture.hdr else "bt709"
    matrix = picture.matrix if picture.matrix in ("bt2020nc", "bt2020c", "bt709") else "bt2020nc"
    filters += [
        f"scale={size.width}:{size.height}:{_SCALER}",
        f"zscale=tin={transfer}:min={matrix}:pin=bt2020:t=linear:npl=100",
        "format=gbrpf32le",
        "zscale=p=bt709",
    ]
    if picture.hdr:
        filters.append("tonemap=tonemap=hable:desat=0")
    return [*filters, "zscale=t=bt709:m=bt709:r=tv", "format=yuv420p"]


def resized(picture: Picture, size: Size, target: Target) -> list[str]:
    """Filters that follow: the size, and the colours that a kind of file is written in.

    Args:
        picture: The source's.
        size: Exactly this, in square pixels.
        target: video: BT.709, studio range. jpeg: BT.601, full range (JFIF). webp: BT.601, studio range (RFC 9649).
            rgb: as it is shown.
    """
    matrix, levels, pixels = {
        "video": ("bt709", "tv", "yuv420p"),
        "jpeg": ("bt601", "pc", "yuvj420p"),
        "webp": ("bt601", "tv", "yuv420p"),
        "rgb": ("bt709", "pc", "rgb24"),
    }[target]
    scale = f"scale={size.width}:{size.height}:{_SCALER}:out_range={levels}"
    if target != "rgb":
        scale += f":out_color_matrix={matrix}"
    if picture.matrix is None and not picture.hdr and picture.primaries != "bt2020":
        scale += f":in_color_matrix={'bt709' if min(picture.shown) >= HD_LINES else 'bt601'}"
    filters = [scale, "setsar=1", f"format={pixels}"]
    if target == "video":
        filters.append("setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv")
    return filters
