"""The codecs that are decoded, of the several hundred that ffmpeg knows: those that cameras, phones and editors write.

A decoder runs on hostile bytes, and the rare ones are the least tested.
"""

from __future__ import annotations

VIDEO = frozenset(
    [
        "h264",
        "hevc",
        "av1",
        "vp8",
        "vp9",
        "mpeg4",
        "msmpeg4v2",
        "msmpeg4v3",
        "mpeg1video",
        "mpeg2video",
        "h263",
        "mjpeg",
        "prores",
        "dnxhd",
        "vc1",
        "wmv1",
        "wmv2",
        "wmv3",
        "flv1",
        "theora",
        "rawvideo",
        "ffv1",
    ]
)
"""By the codec's name."""

AUDIO = frozenset(
    [
        "aac",
        "mp3",
        "mp2",
        "ac3",
        "eac3",
        "opus",
        "vorbis",
        "flac",
        "alac",
        "wmav1",
        "wmav2",
        "wmapro",
        "amr_nb",
        "amr_wb",
        "pcm_s16le",
        "pcm_s16be",
        "pcm_s24le",
        "pcm_s24be",
        "pcm_s32le",
        "pcm_s32be",
        "pcm_f32le",
        "pcm_u8",
        "pcm_alaw",
        "pcm_mulaw",
    ]
)
"""By the codec's name."""

# Where a decoder has another name than its codec.
_DECODERS = ["libdav1d", "aac_fixed", "mp3float", "libopus", "libvorbis", "amrnb", "amrwb", "flv"]

DECODERS = ",".join(sorted(VIDEO | AUDIO | set(_DECODERS)))
"""For ffmpeg's -codec_whitelist, which goes by the decoder's name."""
