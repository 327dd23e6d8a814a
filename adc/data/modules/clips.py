"""Data modules of clips: HR clips degraded on the fly, and LR-HR pairs."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from adc.data.bundled import training_photos, validation_photos
from adc.data.datasets.augment import Augmentation
from adc.data.datasets.camera import Camera
from adc.data.datasets.clip_maker import ClipMaker, ClipSpec
from adc.data.datasets.clips import DRAWS, TrainingClips, ValidationClips, degraded
from adc.data.datasets.pairs import PairClips
from adc.data.datasets.stills import Stills
from adc.data.datasets.videos import CameraClips, VideoClips
from adc.data.modules.clip_data import ClipData
from adc.interfaces import Degradation
from adc.media.images import list_photos
from adc.media.video_source import VideoSource, VideoSourceReader, image_sources, list_sources, match_sources


class ClipFiles(ClipData, ABC):
    """Base class of data modules of photo and video files, with the options that they share."""

    def __init__(
        self,
        scale: int,
        batch_size: int,
        *,
        frames: int = 1,
        size: int = 512,
        workers: int = 2,
        seed: int = 0,
        small: Literal["error", "reflect"] = "error",
        broken: Literal["error", "skip"] = "error",
        cache: int = 256,
        validation_size: int | None = None,
        validation_limit: int | None = None,
        validation_frames: int | None = None,
        validation_crops: int = 1,
        multiple: int = 16,
        captions: bool = False,
        stills: bool | str = False,
        stride: int = 1,
        shots: bool = True,
    ) -> None:
        """
        Args:
            scale: Ratio of the sizes of HR and LR.
            batch_size: Clips per batch and process.
            frames: Frames per clip.
            size: Height and width of the HR clip, a multiple of the scale.
            workers: Processes that read and degrade, each on one thread; 0 does it in the main process.
            seed: Of the order, the crops and the degradations.
            small: What to do with an image smaller than size: stop, or mirror it at its borders.
            broken: What to do with an unreadable file: stop, or take the next one in its place and name it at the end.
            cache: Megabytes of decoded frames that each worker keeps in memory.
            validation_size: Largest height and width of HR validation clips, cut from the middle; whole frames if none,
                or size for a camera's.
            validation_limit: Validate on the first so many files only.
            validation_frames: Validate on the first so many frames of each video; as many as frames if none.
            validation_crops: Crops of each validation file: the middle, and others of the size of training.
            multiple: Validation clips are cut so that the LR clip's height and width are multiples of this.
            captions: Read the text beside each HR file (photo.txt beside photo.png), for prompts.
            stills: Whether batches have clips of unrelated images: true takes key frames of the other HR videos
                (the other photos, with a camera), a folder the photos in it.
            stride: Each so many-th frame is taken; 2 doubles the speed.
            shots: Draw again where a clip would cross a cut; a video in which that fails gives its place to the next
                one, and is named at the end.
        """
        super().__init__(batch_size, workers, seed)
        if scale < 1:
            raise ValueError(f"scale: {scale} is not a whole number of at least 1.")
        for key, number in (
            ("frames", frames),
            ("stride", stride),
            ("validation_frames", validation_frames),
            ("validation_crops", validation_crops),
        ):
            if number is not None and number < 1:
                raise ValueError(f"{key}: {number} is less than 1.")
        if size < scale or size % scale:
            raise ValueError(f"size: {size} is not a multiple of the scale {scale}.")
        step = multiple * scale
        if validation_size is not None and validation_size < step:
            raise ValueError(f"validation_size: {validation_size} is less than {step} (multiple * scale).")
        self.stills, self.cache, self.validation_limit, self.captions = stills, cache, validation_limit, captions
        self.validation_crops = validation_crops
        self.spec = ClipSpec(frames, size, scale, stride=stride, shots=shots, small=small, broken=broken)
        self.validation_spec = ClipSpec(validation_frames or frames, validation_size, scale, step, stride, False)

    def _training_clips(
        self,
        maker: ClipMaker,
        files: Sequence[VideoSource],
        degradation: Degradation | None = None,
        on_device: bool = False,
    ) -> TrainingClips:
        """Clips of a maker, with stills of the HR files or of a folder of photos."""
        read = maker.read
        if isinstance(self.stills, str):
            files, read = image_sources(list_photos(self.stills)), VideoSourceReader()
        stills = Stills(files, self.spec, read) if self.stills else None
        return TrainingClips(maker, degradation, self.seed, stills, self.captions, on_device)

    def _validation_clips(self, maker: ClipMaker, degradation: Degradation | None = None) -> ValidationClips:
        limit, crops = self.validation_limit, self.validation_crops
        return ValidationClips(maker, degradation, self.seed, limit, self.captions, crops)


class DegradedClips(ClipFiles):
    """Photos, videos, or photos under a moving camera, with LR counterparts degraded on the fly.

    Batches have the keys ``lr``, ``hr``, ``name``, and ``stills`` and ``text`` if they are asked for. Every clip is
    drawn from (seed, file, epoch): a run continued at a position, and any number of workers and processes, makes the
    same ones. Clips of one frame are made of the images of a folder, if there are any in it; all others of its videos.
    """

    def __init__(
        self,
        degradation: Degradation,
        batch_size: int,
        train_dir: str | None = None,
        val_dir: str | None = None,
        *,
        augment: Augmentation | None = None,
        degrade: Literal["workers", "device"] = "workers",
        camera: Camera | None = None,
        validation_split: int = 0,
        **options: Any,
    ) -> None:
        """
        Args:
            degradation: Degradation of the HR clips; it has the scale.
            batch_size: Clips per batch and process.
            train_dir: Folder of training photos or videos, searched with its sub-folders: images and tar files of
                them, video files, and folders of frames. A path with a star, pairs/*/hr.mp4, names a video in each of
                many folders. If none, eleven photos of scikit-image, under a camera if frames is above 1.
            val_dir: The same for validation; if none, four other photos of scikit-image.
            augment: Augmentation of training clips before they are degraded, for where files are few.
            degrade: Where training clips are degraded: in the workers, or in float32 on the device that trains.
            camera: The camera's motion. With one, train_dir and val_dir, where they are named, are folders of photos.
            validation_split: So many files of train_dir, spread evenly over it, are for validation alone, in place of
                val_dir.
            options: Those of `ClipFiles`.
        """
        super().__init__(degradation.scale, batch_size, **options)
        if validation_split < 0:
            raise ValueError(f"validation_split: {validation_split} files; at least 0.")
        if validation_split and (train_dir is None or val_dir is not None):
            raise ValueError("validation_split: divides train_dir; name one, and no val_dir.")
        self.validation_split = validation_split
        self.degradation, self.train_dir, self.val_dir, self.degrade = degradation, train_dir, val_dir, degrade
        self.spec = replace(self.spec, augment=augment)
        self.camera = camera or (Camera() if self.spec.frames > 1 else None)
        self.has_camera = camera is not None

    def training_set(self) -> TrainingClips:
        """Random clips."""
        maker = self._maker(self.train_dir, self.spec, validation=False)
        return self._training_clips(maker, maker.files, self.degradation, self.degrade == "device")

    def validation_set(self) -> ValidationClips:
        """The middle of the first frames of each file."""
        folder = self.train_dir if self.validation_split else self.val_dir
        return self._validation_clips(self._maker(folder, self.validation_spec, True), self.degradation)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Degrade on the device what the workers did not."""
        return degraded(batch, self.degradation) if DRAWS in batch else batch

    def _maker(self, folder: str | None, spec: ClipSpec, validation: bool) -> VideoClips | CameraClips:
        read = VideoSourceReader(0 if validation else self.cache)
        if folder is not None and not self.has_camera:
            sources = self._divided(list_sources(folder, self.spec.frames), folder, validation)
            return VideoClips(sources, spec, folder, read)
        bundled = validation_photos if validation else training_photos
        photos = image_sources(bundled() if folder is None else list_photos(folder), folder)
        photos = photos if folder is None else self._divided(photos, folder, validation)
        if self.camera is None:
            return VideoClips(photos, spec, folder, read)
        if validation and spec.size is None:
            spec = replace(spec, size=max(self.spec.side, spec.step))
        return CameraClips(self.camera, photos, spec, folder, read)

    def _divided(self, files: list[VideoSource], folder: str, validation: bool) -> list[VideoSource]:
        """The files of training, or of validation, where one folder holds both."""
        count = self.validation_split
        if count >= len(files) > 0:
            raise ValueError(
                f"validation_split: {count} files, but {folder} holds {len(files)}; leave some to train on."
            )
        chosen = {(2 * number + 1) * len(files) // (2 * count) for number in range(count)}
        return [file for index, file in enumerate(files) if not count or (index in chosen) == validation]


class PairedClips(ClipFiles):
    """Photos or videos that exist as LR and HR, in two folders with the same names: a teacher's results, for one.

    Batches are those of `DegradedClips`.
    """

    def __init__(
        self,
        lr: str,
        hr: str,
        batch_size: int,
        val_lr: str | None = None,
        val_hr: str | None = None,
        *,
        scale: int = 4,
        **options: Any,
    ) -> None:
        """
        Args:
            lr: Folder of LR training photos, or of videos: files, and folders of frames. A path with a star,
                pairs/*/lr.mp4, names a video in each of many folders, called what the star stands for.
            hr: Folder of HR ones, or such a path; the names are those of the LR ones, endings aside.
            batch_size: Clips per batch and process.
            val_lr: The same for validation; no validation if none.
            val_hr: The same for validation.
            scale: Ratio of the sizes of HR and LR.
            options: Those of `ClipFiles`.
        """
        super().__init__(scale, batch_size, **options)
        if (val_lr is None) != (val_hr is None):
            raise ValueError("val_lr and val_hr belong together: give both folders, or neither.")
        self.lr, self.hr, self.val_lr, self.val_hr = lr, hr, val_lr, val_hr

    def training_set(self) -> TrainingClips:
        """Random clips."""
        pairs = match_sources(self.lr, self.hr, self.spec.frames)
        maker = PairClips(pairs, self.spec, self.hr, VideoSourceReader(self.cache))
        return self._training_clips(maker, [hr for _, hr in pairs])

    def validation_set(self) -> ValidationClips | None:
        """The middle of the first frames of each pair."""
        if self.val_lr is None or self.val_hr is None:
            return None
        pairs = match_sources(self.val_lr, self.val_hr, self.spec.frames)
        return self._validation_clips(PairClips(pairs, self.validation_spec, self.val_hr, VideoSourceReader()))
