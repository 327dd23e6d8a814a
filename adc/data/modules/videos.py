"""Data of a recipe for video: clips of several frames, and their small twins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from adc.data.bundled import training_photos, validation_photos
from adc.data.datasets.camera import Camera
from adc.data.datasets.clip_maker import ClipSpec
from adc.data.datasets.photos import PhotoReader, check_largest, check_size
from adc.data.datasets.stills import Stills
from adc.data.datasets.video_pairs import PairClips
from adc.data.datasets.videos import CameraClips, TrainingVideos, ValidationVideos, VideoClips
from adc.data.modules.images import ClipData
from adc.interfaces import Degradation
from adc.media.images import list_photos
from adc.media.tar_shards import Packed
from adc.media.video_source import VideoSource, VideoSourceReader, list_video_sources, match_video_sources


class DegradedVideos(ClipData):
    """Videos, or photos under a moving camera, and their small, spoilt twins made on the fly.

    Batches have the keys ``lr``, ``hr``, ``name``, and ``stills`` if they are asked for. Every clip is drawn from
    (seed, file, epoch): a run continued at a position, and any number of workers and processes, makes the same ones.
    """

    def __init__(
        self,
        degradation: Degradation,
        batch_size: int,
        train_dir: str | None = None,
        val_dir: str | None = None,
        stills: bool | str = False,
        frames: int = 8,
        size: int = 256,
        stride: int = 1,
        shots: bool = True,
        camera: Camera | None = None,
        workers: int = 2,
        seed: int = 0,
        small: Literal["error", "reflect"] = "error",
        broken: Literal["error", "skip"] = "error",
        cache: int = 256,
        validation_size: int | None = None,
        validation_limit: int | None = None,
        validation_frames: int | None = None,
        multiple: int = 16,
    ) -> None:
        """
        Args:
            degradation: What makes the small clip; it knows the scale.
            batch_size: Clips per batch and process.
            train_dir: Folder of training videos, searched with its sub-folders: video files, and folders of frames
                (with images in them). A path with a star, pairs/*/hr.mp4, names one in each of many folders. If none,
                a camera moves over eleven photos of scikit-image.
            val_dir: The same for validation; if none, a camera moves over four other photos of scikit-image.
            stills: Whether batches have clips of unrelated pictures: true takes key frames of the other videos
                (the other photos, with a camera), a folder the photos in it.
            frames: Frames per clip.
            size: Height and width of the large clip, a multiple of the scale.
            stride: Each so many-th frame is taken; 2 doubles the speed.
            shots: Draw again where a clip would cross a cut; a video in which that fails gives its place to the next
                one, and is named at the end.
            camera: How the camera moves. With one, train_dir and val_dir, where they are named, are folders of photos.
            workers: Processes that read and degrade, each on one thread; 0 does it in the main process.
            seed: Of the order, the crops and the degradations.
            small: What to do with a picture smaller than size: stop, or mirror it at its borders.
            broken: What to do with an unreadable file: stop, or take the next one in its place and name it at the end.
            cache: Megabytes of decoded frames that each worker keeps in memory.
            validation_size: Largest height and width of validation clips, cut from the middle; whole frames if none,
                or size for a camera's.
            validation_limit: Validate on the first so many videos only.
            validation_frames: Validate on the first so many frames of each video; as many as frames if none.
            multiple: Validation clips are cut so that the small clip's height and width are multiples of this.
        """
        super().__init__(batch_size, workers, seed)
        check_frame_numbers(frames, stride, validation_frames)
        check_size("size", size, degradation.scale)
        check_largest(validation_size, multiple * degradation.scale)
        self.degradation, self.train_dir, self.val_dir, self.stills, self.camera = (
            degradation, train_dir, val_dir, stills, camera,
        )  # fmt: skip
        self.cache, self.validation_size, self.validation_limit = cache, validation_size, validation_limit
        self.wanted = ClipSpec(frames, size, degradation.scale, stride=stride, shots=shots, small=small, broken=broken)
        self.validation = ClipSpec(
            validation_frames or frames, validation_size, degradation.scale, multiple * degradation.scale, stride, False
        )

    def training_set(self) -> TrainingVideos:
        """Random clips."""
        maker = self._maker(self.train_dir, self.wanted, validation=False)
        others = maker.photos if isinstance(maker, CameraClips) else maker.files
        stills = stills_of(self.stills, others, self.wanted, maker.read)
        return TrainingVideos(maker, self.degradation, self.seed, stills)

    def validation_set(self) -> ValidationVideos:
        """The first frames of the validation videos."""
        maker = self._maker(self.val_dir, self.validation, validation=True)
        return ValidationVideos(maker, self.degradation, self.seed, self.validation_limit)

    def _maker(self, folder: str | None, wanted: ClipSpec, validation: bool) -> VideoClips | CameraClips:
        cache = 0 if validation else self.cache
        if folder is not None and self.camera is None:
            return VideoClips(list_video_sources(folder), wanted, folder, VideoSourceReader(cache))
        bundled = validation_photos if validation else training_photos
        photos = bundled() if folder is None else list_photos(folder)
        if validation and wanted.size is None:
            wanted = replace(wanted, size=max(self.wanted.side, wanted.step))
        return CameraClips(photos, self.camera or Camera(), wanted, folder, PhotoReader(cache))


class PairedVideos(ClipData):
    """Videos that exist in both sizes, in two folders with the same names: a teacher's results, for one.

    Batches are those of `DegradedVideos`.
    """

    def __init__(
        self,
        lr: str,
        hr: str,
        batch_size: int,
        val_lr: str | None = None,
        val_hr: str | None = None,
        stills: bool | str = False,
        scale: int = 4,
        frames: int = 8,
        size: int = 256,
        stride: int = 1,
        shots: bool = True,
        workers: int = 2,
        seed: int = 0,
        broken: Literal["error", "skip"] = "error",
        cache: int = 256,
        validation_size: int | None = None,
        validation_limit: int | None = None,
        validation_frames: int | None = None,
        multiple: int = 16,
    ) -> None:
        """
        Args:
            lr: Folder of small training videos: files, and folders of frames. A path with a star, pairs/*/lr.mp4,
                names one in each of many folders, called what the star stands for.
            hr: Folder of large ones, or such a path; the names are those of the small ones, endings aside.
            batch_size: Clips per batch and process.
            val_lr: The same for validation; no validation if none.
            val_hr: The same for validation.
            stills: Whether batches have clips of unrelated pictures: true takes key frames of the other large videos,
                a folder the photos in it.
            scale: How many times larger the large videos are.
            frames: Frames per clip.
            size: Height and width of the large clip, a multiple of the scale.
            stride: Each so many-th frame is taken; 2 doubles the speed.
            shots: Draw again where a clip would cross a cut; a pair in which that fails gives its place to the next
                one, and is named at the end.
            workers: Processes that read, each on one thread; 0 does it in the main process.
            seed: Of the order and the crops.
            broken: What to do with an unreadable file: stop, or take the next one in its place and name it at the end.
            cache: Megabytes of decoded frames that each worker keeps in memory.
            validation_size: Largest height and width of large validation clips, cut from the middle; whole if none.
            validation_limit: Validate on the first so many pairs only.
            validation_frames: Validate on the first so many frames of each pair; as many as frames if none.
            multiple: Validation clips are cut so that the small one's height and width are multiples of this.
        """
        super().__init__(batch_size, workers, seed)
        check_frame_numbers(frames, stride, validation_frames)
        if scale < 1:
            raise ValueError(f"scale: {scale} is not a whole number of at least 1.")
        check_size("size", size, scale)
        check_largest(validation_size, multiple * scale)
        if (val_lr is None) != (val_hr is None):
            raise ValueError("val_lr and val_hr belong together: give both folders, or neither.")
        self.lr, self.hr, self.val_lr, self.val_hr = lr, hr, val_lr, val_hr
        self.stills, self.cache, self.validation_limit = stills, cache, validation_limit
        self.wanted = ClipSpec(frames, size, scale, stride=stride, shots=shots, broken=broken)
        self.validation = ClipSpec(validation_frames or frames, validation_size, scale, multiple * scale, stride, False)

    def training_set(self) -> TrainingVideos:
        """Random clips."""
        pairs, read = match_video_sources(self.lr, self.hr), VideoSourceReader(self.cache)
        stills = stills_of(self.stills, [large for _, large in pairs], self.wanted, read)
        return TrainingVideos(PairClips(pairs, self.wanted, self.hr, read), None, self.seed, stills)

    def validation_set(self) -> ValidationVideos | None:
        """The first frames of the validation pairs."""
        if self.val_lr is None or self.val_hr is None:
            return None
        pairs = match_video_sources(self.val_lr, self.val_hr)
        maker = PairClips(pairs, self.validation, self.val_hr, VideoSourceReader())
        return ValidationVideos(maker, None, self.seed, self.validation_limit)


def check_frame_numbers(frames: int, stride: int, validation_frames: int | None) -> None:
    """Refuse numbers of frames below 1."""
    for key, number in (("frames", frames), ("stride", stride), ("validation_frames", validation_frames)):
        if number is not None and number < 1:
            raise ValueError(f"{key}: {number} is less than 1.")


def stills_of(
    stills: bool | str,
    others: Sequence[Path | Packed] | Sequence[VideoSource],
    wanted: ClipSpec,
    read: PhotoReader | VideoSourceReader,
) -> Stills | None:
    """What draws the stills of a recipe.

    Args:
        stills: False for none, true for those of ``others``, or a folder of photos.
        others: The files of which the clips are made.
        wanted: What the clips are like.
        read: Reads the others.
    """
    if stills is False:
        return None
    if isinstance(stills, str):
        others, read = list_photos(stills), PhotoReader()
    return Stills(others, wanted.side, wanted.scale, wanted.small, wanted.broken, read)
