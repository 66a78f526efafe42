"""Whether what was asked for makes sense, before anything is read.

Types and enumerations are already right (the codec saw to that); this is about values. One error names every fault.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from streams.video.settings import VideoSettings
from tidemill.errors import Reject
from tidemill.events import VideoOutput, VideoPoster, VideoPreview, VideoRequested

MOST_CRF = {"mp4": 51, "webm": 63}
LEAST_BITRATE = 10_000
MOST_BITRATE = 1_000_000_000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TAKEN = ("poster", "preview")


def check_request(request: VideoRequested, settings: VideoSettings) -> None:
    """Refuse a request that can't be met.

    Raises:
        Reject: Says for each fault which field, what was found and what is expected.
    """
    if not request.outputs and request.poster is None and request.preview is None:
        raise Reject("Nothing is asked for.", hint="Ask for `outputs`, a `poster` or a `preview`.")
    if len(request.outputs) > settings.max_outputs:
        raise Reject(
            f"{len(request.outputs)} outputs are asked for; at most {settings.max_outputs} are made of one video.",
            hint="Publish several events for the same source.",
        )
    faults = list(_faults(request, settings))
    if faults:
        raise Reject(f"The request can't be met: {'; '.join(faults)}.", hint="Correct it and publish it again.")


def _faults(request: VideoRequested, settings: VideoSettings) -> Iterator[str]:
    first_use: dict[str, int] = {}
    for index, output in enumerate(request.outputs):
        yield from _output_faults(f"outputs[{index}]", output)
        if first_use.setdefault(output.name, index) != index:
            first = first_use[output.name]
            yield f"outputs[{index}].name {_shown(output.name)} is also that of outputs[{first}]; names are unique"
    if request.poster is not None:
        yield from _poster_faults(request.poster)
    if request.preview is not None:
        yield from _preview_faults(request.preview, settings)
    if request.source_sha256 is not None and not _SHA256.fullmatch(request.source_sha256):
        yield f"source_sha256 {_shown(request.source_sha256)} isn't 64 lowercase hex digits"


def _output_faults(field: str, output: VideoOutput) -> Iterator[str]:
    if not _NAME.fullmatch(output.name):
        yield (
            f"{field}.name {_shown(output.name)} isn't 1 to 64 letters, digits, dots, dashes or underscores "
            "that start with a letter or digit"
        )
    elif output.name in _TAKEN:
        yield f"{field}.name is {output.name!r}, which is the name of another file"
    for side in ("width", "height", "short_side"):
        yield from _side_faults(f"{field}.{side}", getattr(output, side))
    most_crf = MOST_CRF[output.container]
    if output.crf is not None and not 0 <= output.crf <= most_crf:
        yield f"{field}.crf is {output.crf}, not 0 to {most_crf} as {output.container} has it"
    if output.max_bitrate is not None and not LEAST_BITRATE <= output.max_bitrate <= MOST_BITRATE:
        yield f"{field}.max_bitrate is {output.max_bitrate}, not {LEAST_BITRATE} to {MOST_BITRATE} bits per second"


def _poster_faults(poster: VideoPoster) -> Iterator[str]:
    if poster.at is not None and not 0 <= poster.at < math.inf:
        yield f"poster.at is {poster.at}, not a number of seconds from 0 on"
    if not poster.formats or len(set(poster.formats)) != len(poster.formats):
        yield f"poster.formats is {list(poster.formats)!r}, not one or more different formats"
    for side in ("width", "height"):
        yield from _side_faults(f"poster.{side}", getattr(poster, side))


def _preview_faults(preview: VideoPreview, settings: VideoSettings) -> Iterator[str]:
    if not 0.1 <= preview.seconds <= settings.max_preview_seconds:
        yield f"preview.seconds is {preview.seconds}, not 0.1 to {settings.max_preview_seconds:g}"
    if not 2 <= preview.width <= settings.max_preview_width:
        yield f"preview.width is {preview.width}, not 2 to {settings.max_preview_width}"


def _side_faults(field: str, length: int | None) -> Iterator[str]:
    # No upper end: nothing is enlarged.
    if length is not None and length < 2:
        yield f"{field} is {length}, not 2 or more"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
