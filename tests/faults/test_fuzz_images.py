"""Damaged image files of all formats: read or refused in one line, quickly, and never without a word."""

import multiprocessing
import warnings
from pathlib import Path

import numpy as np
import pytest
from mutated import TEXT_ONLY, mutated, whole_files

from adc.media import images
from adc.media.image_files import channels_for, decode_image, image_writer
from adc.media.images import BrokenImageError, read_image

SHORT, LONG = 250, 5000
SECONDS = 20
"""That a file may take."""
CHECKED = (".png", ".apng", "adobe_deflate.tif", "packed.tif")
"""How the names of files end whose pixels have checksums."""


def fault_of(seed, files, whole, folder):
    """What is wrong with how a damaged file is read and written again; None if nothing is."""
    name, kind, content = mutated(seed, files)
    (path := folder / f"{seed}-{name}").write_bytes(content)
    about = f"seed {seed}, {name}, {kind}"
    try:
        found = decode_image(path)
        small = read_image(path)
    except BrokenImageError as error:
        return None if str(error).startswith(str(path)) and "\n" not in str(error) else f"{about}: says {error}"
    except BaseException as error:
        return f"{about}: {type(error).__name__}: {error}"
    finally:
        path.unlink()
    if small.shape != found.pixels.shape:
        return f"{about}: two readers read two sizes"
    same = same_values(found.pixels, whole[name][0]) and same_values(found.alpha, whole[name][1])
    can_tell = (kind == "cut" and name != TEXT_ONLY) or (name.endswith(CHECKED) and kind in ("flip", "overwrite"))
    if can_tell and not same and not found.notes:
        return f"{about}: other pixels, and not a word"
    return written(found, folder, about)


def same_values(one, other):
    return one is other or (one is not None and other is not None and np.array_equal(one, other))


def written(found, folder, about):
    """What is wrong with how an image is written, with all that its file says."""
    height, width = found.pixels.shape[:2]
    for ending in (".png", ".jpg", ".webp", ".tif"):
        target = folder / f"out{ending}"
        channels = channels_for(target, found.gray, found.alpha is not None)
        rows = np.zeros((height, width, channels), np.uint8)
        try:
            found.metadata.missing(ending, found.gray)
            with image_writer(target, (width, height), channels, found.metadata) as writer:
                writer.write(rows)
            decode_image(target)
        except BaseException as error:
            if not (type(error) is ValueError and str(error).startswith(f"{target}: {width}x{height} pixels, but")):
                return f"{about}: as {ending}: {type(error).__name__}: {error}"
    return None


def serve(seeds, files, folder, pipe):
    """In a process of its own: each seed before it is tried, and its fault."""
    warnings.simplefilter("ignore")
    images.available_memory = lambda: 2**30
    whole = {}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        found = decode_image(folder / name)
        whole[name] = (found.pixels, found.alpha)
    for seed in seeds:
        pipe.send(fault_of(seed, files, whole, folder))
    pipe.close()


def faults_of(seeds, folder):
    """The faults of all seeds; a file that hangs or kills the process ends the search."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("needs fork")
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(seeds, whole_files(), folder, theirs))
    process.start()
    theirs.close()
    faults = []
    try:
        for seed in seeds:
            try:
                if not ours.poll(SECONDS):
                    return [*faults, f"seed {seed}: takes more than {SECONDS} s"]
                faults.append(ours.recv())
            except EOFError:
                process.join()
                return [*faults, f"seed {seed}: the process ends with {process.exitcode}"]
    finally:
        process.kill()
        process.join()
    return [fault for fault in faults if fault is not None]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_damaged_images(tmp_path, long):
    assert faults_of(range(LONG if long else SHORT), tmp_path) == []


def test_whole_images_are_read_without_a_word(tmp_path):
    for name, content in whole_files().items():
        Path(tmp_path, name).write_bytes(content)
        notes = decode_image(tmp_path / name).notes
        assert notes == () or name in ("a.apng", "moving.gif", "pages.tif"), (name, notes)
