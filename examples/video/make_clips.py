"""Makes the clips of this folder from the photographs beside it: `python -m examples.video.make_clips`.

Slow zooms, cross-fades and a soft chord that is computed, so that nobody else has a right in them. Needs nothing but
the ffmpeg of the package imageio-ffmpeg.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from streams.video.ffmpeg import executable
from streams.video.settings import load_video_settings

HERE = Path(__file__).parent
PHOTOS = HERE.parent / "photos"
FPS = 24
FADE_SECONDS = 0.7
COLORS = (
    "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,sidedata=mode=delete:type=ICC_PROFILE,"
    "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
)
PLAIN = ["-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"]


def travel(target: Path) -> None:
    """Four places, one after the other, out of the dark and back into it: 9 s, 640 x 360, stereo."""
    photos = ["roman-colosseum.jpg", "casa-mila-courtyard.jpg", "cup-of-espresso.png", "dandelion-at-sunset.jpg"]
    shown = 2.8
    graph = [f"[{index}:v]{zoom(640, 360, shown, inward=index % 2 == 0)}[p{index}]" for index in range(len(photos))]
    before = "p0"
    for index in range(1, len(photos)):
        at = index * (shown - FADE_SECONDS)
        graph.append(
            f"[{before}][p{index}]xfade=transition=fade:duration={FADE_SECONDS}:offset={at:.2f},settb=1/{FPS}[x{index}]"
        )
        before = f"x{index}"
    total = len(photos) * shown - (len(photos) - 1) * FADE_SECONDS
    graph.append(f"[{before}]fade=in:d=0.8,fade=out:st={total - 0.8:.2f}:d=0.8,{COLORS}[v]")
    graph.append(chord((220.00, 277.18, 329.63, 415.30), total))
    run(
        [PHOTOS / photo for photo in photos],
        graph,
        *("-c:v", "libx264", "-preset", "veryslow", "-crf", "32", "-c:a", "aac", "-b:a", "48k", "-ac", "2"),
        *("-movflags", "+faststart", "-f", "mp4", str(target)),
    )


def upright(target: Path) -> None:
    """A flower, filmed as phones do: 3 s, stored lying with a note that it is to be turned, mono."""
    sideways = target.with_suffix(".sideways.mov")
    graph = [
        f"[0:v]{zoom(288, 512, 3.0, inward=True)},transpose=cclock,{COLORS}[v]",
        chord((261.63, 329.63, 392.00), 3.0),
    ]
    run(
        [PHOTOS / "allium-flower.jpg"],
        graph,
        *("-c:v", "libx264", "-preset", "veryslow", "-crf", "28", "-c:a", "aac", "-b:a", "32k", "-ac", "1"),
        *("-f", "mov", str(sideways)),
    )
    turn = ["-display_rotation", "-90", "-i", str(sideways), "-c", "copy", *PLAIN, "-f", "mov", "-y", str(target)]
    subprocess.run([str(executable(load_video_settings())), "-v", "error", "-nostdin", *turn], check=True)
    sideways.unlink()


def zoom(width: int, height: int, seconds: float, *, inward: bool) -> str:
    """Filters for a slow zoom into the middle of a photograph, or out of it."""
    frames = round(seconds * FPS)
    share = f"on/{frames}" if inward else f"(1-on/{frames})"
    # At four times the size, since zoompan moves by whole pixels.
    return (
        f"scale={4 * width}:{4 * height}:force_original_aspect_ratio=increase,crop={4 * width}:{4 * height},"
        f"zoompan=z='1+0.12*{share}':x='iw/2-iw/zoom/2':y='ih/2-ih/zoom/2':d={frames}:s={width}x{height}:fps={FPS},"
        f"setsar=1,settb=1/{FPS}"
    )


def chord(hertz: Sequence[float], seconds: float) -> str:
    """A soft chord that swells and dies away."""
    tones = "+".join(f"0.07*sin(2*PI*{each}*t)*(0.7+0.3*sin(2*PI*t/{3 + index}))" for index, each in enumerate(hertz))
    source = f"aevalsrc='{tones}|{tones}':s=44100:d={seconds:.2f}"
    return f"{source},afade=in:d=1.2,afade=out:st={seconds - 1.2:.2f}:d=1.2[a]"


def run(photos: Sequence[Path], graph: Sequence[str], *output: str) -> None:
    """Run ffmpeg on photographs; the graph's results are [v] and [a]."""
    inputs = [argument for photo in photos for argument in ("-i", str(photo))]
    graph_arguments = ["-filter_complex", ";".join(graph), "-map", "[v]", "-map", "[a]", "-shortest"]
    ffmpeg = [str(executable(load_video_settings())), "-v", "error", "-nostdin", "-y"]
    subprocess.run([*ffmpeg, *inputs, *graph_arguments, "-threads", "2", *PLAIN, *output], check=True)


if __name__ == "__main__":
    travel(HERE / "travel.mp4")
    upright(HERE / "upright.mov")
