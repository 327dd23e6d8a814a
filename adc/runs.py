"""Run folders: their recipe, the seconds they took, whether they are finished."""

from __future__ import annotations

import difflib
import fcntl
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from adc.errors import UsageError
from adc.files import replacing, sweep

FINISHED, RECIPE, ATTEMPTS, LOCK = "finished.json", "recipe.json", "attempts.json", ".lock"
TRACES = (FINISHED, RECIPE, ATTEMPTS, "checkpoints", "diverged", "logs")

COMMAND_OF_KEY = {
    "model": "fit",
    "ratios": "prune",
    "target": "prune",
    "restorers": "report",
    "bench": "bench",
    "latents": "cache-latents",
    "preferences": "cache-preferences",
}
"""The command that a recipe is for, by the key that only such recipes have."""


def write_json(path: str | Path, value: Any) -> None:
    """Write a file that is whole or not there."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: str | Path, text: str) -> None:
    """Write a file that is whole or not there."""
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8", errors="backslashreplace")  # names of files need not be UTF-8


def read_json(path: str | Path) -> Any:
    """The content of a file; None if it is not there.

    Raises:
        ValueError: If it is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON ({error}); delete it, or start over with --restart.") from None


class _PlainLoader(yaml.SafeLoader):
    """A loader of plain data, which refuses what YAML passes over or fails at without a line.

    A key that is there twice, of which the last would count; a key that is no text; a value that holds itself; text
    that looks like a date and is none.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node, complete."""
        if node in self.recursive_objects:
            raise yaml.constructor.ConstructorError(
                None, None, "a value that holds itself by an alias", node.start_mark
            )
        try:
            return super().construct_object(node, deep=True)
        except (ValueError, AttributeError, KeyError) as error:
            text = (
                f"{str(node.value)[:40]!r} is no {str(node.tag).rpartition(':')[2]} ({error}); quote it if it is text"
            )
            raise yaml.constructor.ConstructorError(None, None, text, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, none of whose keys is there twice; merged ones may be."""
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                text = "a key that is a list or a mapping; quote text that begins with [ or {"
                raise yaml.constructor.ConstructorError(None, None, text, key.start_mark)
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                text = f"{key.value!r} is there twice, in line {seen[key.value]} too"
                raise yaml.constructor.ConstructorError(None, None, text, key.start_mark)
            seen[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


def read_recipe(path: str | Path) -> dict[str, Any]:
    """A recipe as plain data.

    Raises:
        FileNotFoundError: If there is no such file.
        UsageError: If it cannot be read, is no YAML mapping, or has a key twice.
    """
    if Path(path).is_dir():
        raise UsageError(f"{path} is a folder, no recipe; `adc run {path}` runs the numbered recipes in it.")
    if not Path(path).is_file():
        beside = [str(one) for one in Path(path).parent.glob("*.y*ml")]
        near = difflib.get_close_matches(str(path), beside, 1)
        raise FileNotFoundError(f"there is no recipe {path}{f'; did you mean {near[0]}?' if near else '.'}")
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), _PlainLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark is not None else ""
        said = ", ".join(text for text in (error.context, error.problem) if text)
        raise UsageError(f"{path}{line}: is no YAML: {' '.join(said.split())}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is no YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from None
    if content is None:
        raise UsageError(f"{path}: the recipe is empty.")
    if not isinstance(content, dict):
        raise UsageError(f"{path}: a recipe is a mapping of keys, not {str(content)[:40]!r}.")
    return content


@contextmanager
def writing(run: str | Path) -> Iterator[None]:
    """The right to write into a run folder, which one process at a time has; it ends with the process.

    Raises:
        ValueError: If another process has it, naming that process.
    """
    path = Path(run, LOCK)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise ValueError(f"{run}: {holder} writes there; wait until it ends, or name another folder.") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def digest(recipes: Sequence[str | Path]) -> str:
    """A fingerprint of what recipes say; comments, layout and the ``trainer`` of overlays do not count."""
    contents = [read_recipe(path) for path in recipes]
    for overlay in contents[1:]:
        overlay.pop("trainer", None)
    stated = [content for content in contents if content]
    return hashlib.sha256(json.dumps(stated, sort_keys=True, default=str).encode()).hexdigest()


def begin(run: str | Path, recipes: Sequence[str | Path], resumed: bool = False) -> None:
    """Note which recipe a run folder follows, and from which finished runs it starts; sweep what kills left there.

    Args:
        run: The run folder.
        recipes: A recipe and its overlays.
        resumed: Whether the run goes on: what was noted of its changes and of the runs it started from stays.
    """
    sweep(run)
    noted = (_record(run, RECIPE) or {}) if resumed else {}
    recipe = {"recipe": str(recipes[0]) if recipes else None, "sha256": digest(recipes)}
    kept = {"changes": noted["changes"]} if noted.get("changes") else {}
    inputs = {**_inputs(run, recipes), **noted.get("inputs", {})}
    write_json(Path(run, RECIPE), {**recipe, **kept, **({"inputs": inputs} if inputs else {})})


def _inputs(run: str | Path, recipes: Sequence[str | Path]) -> dict[str, str]:
    """The finished runs whose folders, or files in them, are values of recipes: when each was finished."""
    found: dict[str, str] = {}
    values: list[Any] = [read_recipe(path) for path in recipes]
    while values:
        value = values.pop()
        if isinstance(value, dict | list):
            values += value.values() if isinstance(value, dict) else value
        elif isinstance(value, str) and "/" in value and len(value) < 1000:
            for folder in (Path(value), *Path(value).parents[:-1]):
                if folder != Path(run) and (folder / FINISHED).is_file():
                    found[str(folder)] = _moment(folder)
    return found


def _moment(run: str | Path) -> str:
    return str((finished(run) or {}).get("finished") or "")


def note_changes(run: str | Path, checkpoint: str, lines: Sequence[str]) -> None:
    """Note with which changes of its recipe a run went on from a checkpoint."""
    if lines:
        noted = _record(run, RECIPE) or {}
        write_json(Path(run, RECIPE), {**noted, "changes": {**noted.get("changes", {}), checkpoint: list(lines)}})


def _record(run: str | Path, name: str) -> dict[str, Any] | None:
    """What a file of a run folder notes by key; None if it is not there."""
    content = read_json(Path(run, name))
    if content is not None and not isinstance(content, dict):
        raise ValueError(f"{Path(run, name)} holds no record of a run; delete it, or start over with --restart.")
    return content


def follows(run: str | Path, recipes: Sequence[str | Path]) -> bool:
    """Whether a run folder follows these recipes; one without a note follows any."""
    noted = _record(run, RECIPE)
    return not noted or "sha256" not in noted or noted["sha256"] == digest(recipes)


def finish(run: str | Path, **facts: Any) -> None:
    """Mark a run as complete; the last thing that a stage does.

    Args:
        run: The run folder.
        facts: For the report: updates by role, seconds.
    """
    from adc import __version__

    now = datetime.now(timezone.utc).isoformat(timespec="microseconds")
    write_json(Path(run, FINISHED), {"version": __version__, "finished": now, **facts})


def finished(run: str | Path) -> dict[str, Any] | None:
    """What ``finished.json`` of a run folder says; None if the run is not complete."""
    return _record(run, FINISHED)


def is_current(run: str | Path, needed: str | Path) -> bool:
    """Whether a finished run started from another one as that is now.

    By what the run noted when it began, which a clock that was set back does not change; by the times at which both
    were finished where it noted nothing.
    """
    noted: dict[str, str] = (_record(run, RECIPE) or {}).get("inputs", {})
    if str(needed) in noted:
        return noted[str(needed)] == _moment(needed)
    return _finish_time(run) >= _finish_time(needed)


def _finish_time(run: str | Path) -> float:
    try:
        return datetime.fromisoformat(_moment(run)).timestamp()
    except ValueError:  # an older version noted no moment
        return Path(run, FINISHED).stat().st_mtime


def clear(run: str | Path, trains: bool = True) -> None:
    """Remove what earlier attempts left in a run folder; results of the same name are overwritten later.

    Args:
        run: The run folder.
        trains: Whether the command trains; one that does not has no checkpoints there that it may remove.

    Raises:
        UsageError: If there are checkpoints of another command.
    """
    if not trains and Path(run, "checkpoints").exists():
        raise UsageError(f"folder {run}: holds the checkpoints of a training run; name another folder.")
    for name in TRACES:
        path = Path(run, name)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


class Stopwatch:
    """Seconds spent in a run folder, over all attempts; an attempt that was killed counts too."""

    def __init__(self, run: str | Path) -> None:
        """
        Args:
            run: The run folder, which keeps the seconds of each attempt.
        """
        self.path = Path(run, ATTEMPTS)
        try:
            self.before = [float(seconds) for seconds in read_json(self.path) or []]
        except TypeError:
            raise ValueError(f"{self.path} holds no seconds; delete it, or start over with --restart.") from None
        self.start = self.noted = time.monotonic()

    @property
    def seconds(self) -> float:
        """The seconds so far."""
        return sum(self.before) + time.monotonic() - self.start

    def note(self, every: float = 0.0) -> None:
        """Write the seconds down, at most once in ``every`` seconds."""
        now = time.monotonic()
        if now - self.noted >= every:
            self.noted = now
            write_json(self.path, [*self.before, round(now - self.start, 3)])
