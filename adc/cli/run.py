"""``adc run FOLDER``: the numbered recipes of a folder, each in a process of its own."""

from __future__ import annotations

import argparse
import ctypes
import difflib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adc import runs
from adc.cli import EXAMPLES, INTERRUPTED, checking
from adc.errors import UsageError, suggest
from adc.runs import COMMAND_OF_KEY
from adc.signals import STATUS, STOPPED, Relay, handled

PROGRAM = [sys.executable, "-m", "adc"]
FINISHED, CHANGED, OUTDATED, INTERRUPTED_STATE, NEW = "finished", "recipe changed", "outdated", "interrupted", "to do"


@dataclass
class Step:
    """One recipe of a folder: the command of its keys, its run folder, overlays, and earlier steps that it needs."""

    recipe: Path
    command: str
    run: Path
    overlays: list[str]
    needs: list[Step] = field(default_factory=list)
    state: str = NEW

    @property
    def name(self) -> str:
        """The recipe's file name without its ending."""
        return self.recipe.stem

    @property
    def recipes(self) -> list[str]:
        """The recipe and its overlays."""
        return [str(self.recipe), *self.overlays]

    @property
    def arguments(self) -> list[str]:
        """The command line after ``adc``."""
        return [self.command, *(word for recipe in self.recipes for word in ("-c", recipe))]


def main(argv: list[str]) -> None:
    """Run what is not finished yet, in order."""
    options = _parser().parse_args(argv)
    steps = plan(options.folder, options.config or [])
    first = _index(steps, options.start, "--from") if options.start else 0
    last = _index(steps, options.until, "--until") if options.until else len(steps) - 1
    if last < first:
        raise UsageError(f"--until {options.until} comes before --from {options.start}.")
    if options.start or options.restart:
        for step in steps[first : last + 1]:
            step.state = NEW
    if options.dry_run:
        _show(steps, first, last)
        _read([step.arguments for step in steps])
        return
    _check(steps[: last + 1], first, options.folder)
    _read([step.arguments for step in steps[first : last + 1] if step.state != FINISHED])
    if options.start or options.restart:
        for step in steps[first : last + 1]:
            runs.clear(step.run)
    with handled(relay := Relay()), handled(relay.suspend, [signal.SIGTSTP]):
        for number, step in enumerate(steps[: last + 1], start=1):
            label = f"[{number}/{len(steps)}] {step.name}"
            if step.state == FINISHED or number - 1 < first:
                print(f"{label}: finished, in {step.run}", flush=True)
                _name_report(step)
                continue
            relay.check(step.name)
            print(f"{label}: adc {' '.join(step.arguments)}", flush=True)
            _run(step, relay)


def _name_report(step: Step) -> None:
    """Print where the results of a report are."""
    for name in ("report.html", "report.json", "samples.png", "profiles.png") if step.command == "report" else ():
        if (step.run / name).exists():
            print(f"report: {step.run / name}", flush=True)


def plan(folder: str, overlays: Sequence[str] = ()) -> list[Step]:
    """The steps of a folder of numbered recipes, with their states; overlays apply to those that train.

    Raises:
        UsageError: If the folder holds no numbered recipe, or one that no command is for.
    """
    if not Path(folder).is_dir():
        raise UsageError(f"there is no folder {folder}{_near(Path(folder)) or '.'}")
    found = [path for path in Path(folder).iterdir() if re.fullmatch(r"\d+\w*.*\.ya?ml", path.name)]
    if not found:
        below = sorted({str(path.parent) for path in Path(folder).glob("*/[0-9]*.yaml")})
        hint = f"; name a folder that does: {', '.join(below)}" if below else ""
        raise UsageError(f"{folder} holds no numbered recipe (such as 1_decoder.yaml){hint}.")
    steps: list[Step] = []
    for recipe in sorted(found, key=lambda path: (int(re.match(r"\d+", path.name)[0]), path.name)):  # type: ignore[index]
        step = _step(recipe, list(overlays))
        if (rival := next((other for other in steps if other.run == step.run), None)) is not None:
            raise UsageError(f"{rival.recipe} and {step.recipe} name the same run folder, {step.run}.")
        text = recipe.read_text(encoding="utf-8")
        step.needs = [other for other in steps if re.search(rf"{re.escape(str(other.run))}(?![\w.-])", text)]
        step.state = _state(step)
        steps.append(step)
    return steps


def _step(recipe: Path, overlays: list[str]) -> Step:
    content = runs.read_recipe(recipe)
    command = next((command for key, command in COMMAND_OF_KEY.items() if key in content), None)
    if command is None:
        keys = ", ".join(f"{key} (adc {command})" for key, command in COMMAND_OF_KEY.items())
        raise UsageError(f"{recipe}: no command is for it; a recipe has one of the keys {keys}.")
    if command == "fit":
        for overlay in overlays:
            laid_over = _trainer(overlay, runs.read_recipe(overlay))
            content = {**content, "trainer": {**_trainer(recipe, content), **laid_over}}
        key, run = "trainer.default_root_dir", _trainer(recipe, content).get("default_root_dir")
    else:
        overlays = []
        key, run = "folder", content.get("folder")
    if not run or not isinstance(run, str):
        what = "is not given" if not run else f"is {str(run)[:60]!r}, which YAML takes for no text"
        raise UsageError(f"{recipe}: {key} {what}; name the run's folder, for one runs/demo/{recipe.stem}.")
    if "${" in run:
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        try:
            run = str(OmegaConf.select(OmegaConf.create(content), key))
        except OmegaConfBaseException as error:
            raise UsageError(f"{recipe}: {key}: {str(error).splitlines()[0]}") from None
    return Step(recipe, command, Path(run), overlays)


def _trainer(recipe: str | Path, content: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(found := content.get("trainer") or {}, dict):
        raise UsageError(f"{recipe}: trainer: {str(found)[:60]!r} is no mapping of options.")
    return found


def _state(step: Step) -> str:
    record = runs.finished(step.run)
    if record is None:
        return INTERRUPTED_STATE if any((step.run / name).exists() for name in runs.TRACES) else NEW
    if not runs.follows(step.run, step.recipes):
        return NEW if step.command == "report" else CHANGED
    if all(other.state == FINISHED and runs.is_current(step.run, other.run) for other in step.needs):
        return FINISHED
    return NEW if step.command == "report" else OUTDATED


def _check(steps: list[Step], first: int, folder: str) -> None:
    """Check that no step builds on outdated results."""
    for index, step in enumerate(steps):
        earliest = next((other.name for other in steps if other.state != FINISHED), step.name)
        ways = f"`adc run {folder} --from {earliest}` does it and what follows again, --restart everything."
        if index < first:
            if step.state in (NEW, INTERRUPTED_STATE):
                raise UsageError(f"{step.name} is not finished; begin with --from {step.name}, or leave --from out.")
        elif step.state == CHANGED:
            raise UsageError(f"{step.run} was finished with another recipe than {step.recipe} is now; {ways}")
        elif step.state == OUTDATED:
            names = ", ".join(other.name for other in step.needs)
            raise UsageError(f"{step.run} was made before its inputs ({names}); {ways}")


def _read(jobs: Sequence[Sequence[str]]) -> None:
    """Check that the recipes of commands can be read, before the first of them spends hours."""
    if line := checking.check(jobs):
        raise UsageError(line)


def _run(step: Step, relay: Relay) -> None:
    status = relay.wait(subprocess.Popen([*PROGRAM, *step.arguments], preexec_fn=_begin_step))
    asked = relay.received[0] if relay.received else 0
    if status < 0:
        status = STATUS.get(-status, 128 - status) if asked == -status else 128 - status
    if status == 0 and runs.finished(step.run) is None:
        raise ValueError(f"{step.name} ended, but {step.run} holds no {runs.FINISHED}.")
    if status == STOPPED or (asked and status in (*STATUS.values(), relay.FORCED)):
        sys.stderr.write(f"adc: stopped in {step.name}; the same command goes on from there.\n")
    elif status:
        sys.stderr.write(f"adc: error: {step.name} failed with status {status}; the same command goes on from there.\n")
    if status:
        sys.exit(INTERRUPTED if asked == signal.SIGINT and status == relay.FORCED else status)


def _begin_step() -> None:
    """Run in a step's process: a group of its own, and on Linux it dies with the parent, so that never two write."""
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _near(folder: Path) -> str:
    """A hint at a folder, or a recipe, of a similar name."""
    if folder.is_file():
        return f": it is a file; `adc fit -c {folder}` trains one recipe."
    beside = [str(path) for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
    near = difflib.get_close_matches(str(folder), beside, 1)
    return f"; did you mean {near[0]}?" if near else ""


def _index(steps: list[Step], name: str, option: str) -> int:
    names = [step.name for step in steps]
    if name.removesuffix(".yaml") in names:
        return names.index(name.removesuffix(".yaml"))
    numbered = [index for index, step in enumerate(steps) if re.match(r"\d+", step.name)[0] == name]  # type: ignore[index]
    if len(numbered) == 1:
        return numbered[0]
    raise UsageError(f"{option}: there is no step {name!r}; {suggest(name, names)}")


def _show(steps: list[Step], first: int, last: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("step", "command", "run folder", "state"):
        table.add_column(column, overflow="fold")
    for index, step in enumerate(steps):
        state = step.state if first <= index <= last or step.state == FINISHED else f"{step.state}, left out"
        table.add_row(step.name, f"adc {' '.join(step.arguments)}", str(step.run), state)
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "adc run",
        description="Run the numbered recipes of a folder in order. Finished ones are skipped.",
        epilog=f"example: {EXAMPLES['run']}",
        allow_abbrev=False,
    )
    parser.add_argument("folder", metavar="FOLDER", help="holds recipes such as 0_prune.yaml and 1_decoder.yaml")
    parser.add_argument(
        "-c",
        "--config",
        action="append",
        metavar="OVERLAY",
        help="laid over the recipes that train: a machine's trainer",
    )
    parser.add_argument("--from", dest="start", metavar="NAME", help="do this recipe and what follows again")
    parser.add_argument("--until", metavar="NAME", help="stop after this recipe")
    parser.add_argument("--restart", action="store_true", help="do everything again")
    parser.add_argument("--dry-run", action="store_true", help="print the plan, read every recipe and stop")
    return parser
