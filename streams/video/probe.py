"""What a video is, read from the lines with which ffmpeg describes its input. Computes only.

Those lines are for people, but have kept their form for many years (FFmpeg's `av_dump_format`), and a new form shows as
an error, not as a wrong number. A file's tags appear among them, so a hostile one can lie here, as in its header.
What keeps the machine safe (`source_options`, `Limits`) rests on nothing that is read here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from streams.video.geometry import Size
from tidemill.errors import Reject

_INPUT = re.compile(r"^Input #0, ([\w,]+), from ")
_DURATION = re.compile(r"^  Duration: (?:N/A|(\d+):(\d\d):(\d\d(?:\.\d+)?))")
_STREAM = re.compile(r"^  Stream #0:\d+(?:\[0x[0-9a-f]+\])?(?:\([^)]*\))?: (\w+): (.*)$")
_ROTATION = re.compile(r"^ +(?:Display Matrix|displaymatrix): rotation of (-?\d+(?:\.\d+)?) degrees")
_PIXELS = re.compile(r", (\w+)(?:\((.*?)\))?, (\d+)x(\d+)(?=[,\s]|$)")
_ASPECT = re.compile(r"\bSAR (\d+):(\d+)")
_RATE = re.compile(r", (\d+(?:\.\d+)?)(k?) fps")
_CUT_OFF = re.compile(r"^\[[^\]]+ @ 0x[0-9a-f]+\] .*(partial file|ended prematurely)", re.MULTILINE)
_STILL = ("(attached pic)", "(still image)", "(timed thumbnails)")


@dataclass(frozen=True)
class Picture:
    """A stream of pictures.

    Attributes:
        codec: In FFmpeg's words.
        pixel_format: In FFmpeg's words.
        coded: Size of the pictures in the file.
        shown: Size after rotation, with square pixels.
        rotation: Degrees clockwise that they are to be turned: 0, 90, 180 or 270.
        fps: Pictures per second on average; None if it doesn't say.
        matrix, primaries, transfer: How its colours are coded, in FFmpeg's words; None where it doesn't say.
        interlaced: Whether a picture holds two moments.
    """

    codec: str
    pixel_format: str
    coded: Size
    shown: Size
    rotation: int
    fps: float | None
    matrix: str | None
    primaries: str | None
    transfer: str | None
    interlaced: bool

    @property
    def hdr(self) -> bool:
        """Whether its brightness is coded for HDR: PQ or HLG (ITU-R BT.2100)."""
        return self.transfer in ("smpte2084", "arib-std-b67")


@dataclass(frozen=True)
class Sound:
    """A stream of sound; `codec` in FFmpeg's words."""

    codec: str
    mono: bool


@dataclass(frozen=True)
class Probe:
    """What a file holds.

    Attributes:
        format: The container, in FFmpeg's words.
        claimed_seconds: How long it says that it plays; None if it doesn't.
        streams: How many there are, of any kind.
        picture: The first stream of moving pictures; None if there is none.
        sound: The first stream of sound; None if there is none.
        stills: How many pictures are attached (covers, thumbnails).
        cut_off: Whether data is missing that its index names.
    """

    format: str
    claimed_seconds: float | None
    streams: int
    picture: Picture | None
    sound: Sound | None
    stills: int
    cut_off: bool


def read_probe(said: str) -> Probe:
    """Read ffmpeg's description of its first input.

    Raises:
        Reject: It holds none, or one that can't be read.
    """
    container = ""
    seconds: float | None = None
    streams = stills = 0
    pictures: list[tuple[str, int]] = []
    sound: Sound | None = None
    is_picture = False
    cut_off = _CUT_OFF.search(said) is not None
    for line in said.splitlines():
        if line.startswith("Output #"):
            break
        if match := _INPUT.match(line):
            container = match[1].split(",")[0]
        elif (match := _DURATION.match(line)) and match[1]:
            seconds = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
        elif match := _STREAM.match(line):
            streams += 1
            kind, rest = match.groups()
            still = kind == "Video" and any(mark in rest for mark in _STILL)
            stills += still
            if is_picture := kind == "Video" and not still:
                pictures.append((rest, 0))
            if kind == "Audio" and sound is None:
                sound = Sound(_word(rest), mono=", mono" in rest)
        elif is_picture and (match := _ROTATION.match(line)):
            pictures[-1] = (pictures[-1][0], round(-float(match[1]) / 90) * 90 % 360)
    if not container:
        raise Reject("ffmpeg doesn't describe the file.", hint="Is it a video?")
    return Probe(container, seconds, streams, _picture(*pictures[0]) if pictures else None, sound, stills, cut_off)


def _picture(described: str, rotation: int) -> Picture:
    match = _PIXELS.search(described)
    if match is None or "0" in (match[3], match[4]):
        raise Reject(f"The video says nothing of its pictures' size: {described[:200]!r}.")
    coded = Size(int(match[3]), int(match[4]))
    aspect = _ASPECT.search(described)
    wide, high = (int(aspect[1]), int(aspect[2])) if aspect else (1, 1)
    # Square pixels keep the height, as players do.
    shown = Size(max(1, round(coded.width * wide / high)), coded.height) if wide and high else coded
    if rotation in (90, 270):
        shown = Size(shown.height, shown.width)
    rate = _RATE.search(described)
    details = match[2] or ""
    matrix, primaries, transfer = _colors(details)
    return Picture(
        codec=_word(described),
        pixel_format=match[1],
        coded=coded,
        shown=shown,
        rotation=rotation,
        fps=float(rate[1]) * (1000 if rate[2] else 1) if rate else None,
        matrix=matrix,
        primaries=primaries,
        transfer=transfer,
        interlaced=any(order in details for order in ("top first", "bottom first", "top coded", "bottom coded")),
    )


def _colors(details: str) -> tuple[str | None, str | None, str | None]:
    """Matrix, primaries and transfer: `bt709` means all three, `bt2020nc/bt2020/smpte2084` each."""
    for part in details.split(", "):
        names = part.split("/")
        if len(names) == 3:
            matrix, primaries, transfer = (None if name == "unknown" else name for name in names)
            return matrix, primaries, transfer
        if re.fullmatch(r"(bt|smpte|fcc|gbr|ycgco)\w*", part):
            return part, part, part
    return None, None, None


def _word(text: str) -> str:
    return re.split(r"[ ,]", text, maxsplit=1)[0]
