"""What lies behind a picture: the canvas of `pad`, and the background where a format has no transparency."""

from __future__ import annotations

from PIL import Image

from streams.image.geometry import Placement


def on_canvas(
    image: Image.Image, placement: Placement, background: tuple[int, int, int, int], *, keep_alpha: bool
) -> Image.Image:
    """A scaled picture in the middle of its canvas.

    Args:
        image: Mode L, LA, RGB or RGBA.
        placement: Says the canvas's size.
        background: Red, green, blue, alpha of the canvas.
        keep_alpha: Whether the result may be transparent; if not, the background counts as opaque.

    Returns:
        Mode L, LA, RGB or RGBA; never with an alpha channel that is opaque all over, because it would cost bytes.
    """
    image = without_opaque_alpha(image)
    transparent = image.mode in ("LA", "RGBA")
    size = (placement.canvas_width, placement.canvas_height)
    if size == image.size and (keep_alpha or not transparent):
        return image
    if not keep_alpha:
        background = (*background[:3], 255)
    at = ((size[0] - image.width) // 2, (size[1] - image.height) // 2)
    if transparent or background[3] < 255:
        canvas = Image.new("RGBA", size, background)
        canvas.alpha_composite(image.convert("RGBA"), at)
        return without_opaque_alpha(canvas)
    red, green, blue, _ = background
    if image.mode == "L" and red == green == blue:
        canvas = Image.new("L", size, red)
    else:
        canvas = Image.new("RGB", size, (red, green, blue))
    canvas.paste(image, at)
    return canvas


def without_opaque_alpha(image: Image.Image) -> Image.Image:
    """The same picture, without its alpha channel if nothing is transparent."""
    if image.mode in ("LA", "RGBA") and image.getchannel("A").getextrema() == (255, 255):
        return image.convert(image.mode[:-1])
    return image
