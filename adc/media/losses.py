"""What of a video its result does not have, each in a few words."""

from __future__ import annotations

from adc.media.video_reader import VideoReader

SIDE_DATA = {
    "MASTERING_DISPLAY_METADATA": "the mastering display of HDR",
    "CONTENT_LIGHT_LEVEL": "the light levels of HDR",
    "AMBIENT_VIEWING_ENVIRONMENT": "the ambient light of HDR",
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DYNAMIC_HDR_VIVID": "HDR Vivid",
    "DOVI_RPU_BUFFER": "Dolby Vision",
    "DOVI_METADATA": "Dolby Vision",
    "A53_CC": "closed captions",
    "S12M_TIMECODE": "time codes",
    "STEREO3D": "how it is seen in 3D",
    "SPHERICAL": "how it is projected on a sphere",
}
"""Data of frames that are not written, by FFmpeg's names."""
HDR = (16, 18)
"""Transfers of HDR: PQ and HLG."""


def lost_pixels(like: VideoReader, deep: bool, codec: str) -> list[str]:
    """What the pixels of a source have and those of a result have not.

    Args:
        like: The source.
        deep: Whether the result has more than eight bits per channel.
        codec: What has no more.
    """
    lost = ["transparency is left out"] if like.has_alpha else []
    if like.deep and not deep:
        lost.append(f"more than eight bits become eight, which is what {codec} has")
    return lost


def lost_side_data(like: VideoReader) -> list[str]:
    """What frames that have been read had beside their pixels, and that their two fields are one frame now."""
    names = dict.fromkeys(text for name, text in SIDE_DATA.items() if name in like.side_data)
    lost = [f"left out: {', '.join(names)}"] if names else []
    if like.is_interlaced:
        lost.append(
            "interlaced, and both fields of a frame are enlarged as one; "
            f"deinterlace it first: ffmpeg -i {like.path.name} -vf bwdif -crf 12 {like.path.stem}.progressive.mkv"
        )
    return lost


def lost_in_folder(like: VideoReader, depth: int) -> list[str]:
    """What a folder of frames, of so many bits per channel, lacks of a video."""
    kinds = {"audio": "sound", "subtitle": "subtitles"}
    names = dict.fromkeys(kinds[stream.type] for stream in like.companions)
    lost = [f"a folder of frames holds no {' and no '.join(names)}"] if names else []
    lost += ["transparency is left out"] if like.has_alpha else []
    if like.deep and depth == 8:
        lost.append("more than eight bits become eight; --depth 16 keeps them")
    if like.color.transfer in HDR:
        lost.append("its HDR colours are not converted, and images do not say that they are HDR")
    return [*lost, *lost_side_data(like)]
