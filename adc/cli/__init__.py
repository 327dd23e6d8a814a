"""The ``adc`` command: dispatch to one command, and one line for a failure.

Only the standard library is imported here, so that ``adc --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from importlib import import_module
from typing import Any, NoReturn

from adc.errors import UsageError, debugging, describe, suggest
from adc.progress import visible
from adc.signals import ending_at_once, ending_in_order

COMMANDS = {
    "new": ("adc.cli.new", "main", "Write the recipes of a first project, for your weights and photos."),
    "run": ("adc.cli.run", "main", "Run the numbered recipes of a folder, one after the other."),
    "recipes": ("adc.cli.recipes", "main", "List the recipes that ship with adc, or copy a folder of them."),
    "list": ("adc.cli.list", "main", "List the components that a recipe can name, or explain one."),
    "fit": ("adc.cli.train", "fit", "Train the stage of a recipe; an interrupted run continues."),
    "validate": ("adc.cli.train", "validate", "Measure a checkpoint on the validation data."),
    "test": ("adc.cli.train", "test", "Measure a checkpoint on the test data."),
    "predict": ("adc.cli.train", "predict", "Restore the clips of a recipe's prediction data."),
    "cache": ("adc.cli.cache", "main", "Store a teacher's outputs, to train without it."),
    "cache-latents": ("adc.cli.cache_latents", "main", "Encode training clips once, to train on their latents."),
    "cache-preferences": ("adc.cli.cache_preferences", "main", "Rank a student's candidates, to train on the pairs."),
    "prune": ("adc.cli.prune", "main", "Cut channels out of a student."),
    "report": ("adc.cli.report", "main", "Measure restorers side by side."),
    "bench": ("adc.cli.bench", "main", "Measure what restorers cost, side by side."),
    "export": ("adc.cli.export", "main", "Write a student in formats that other programs read."),
    "upscale": ("adc.cli.upscale", "main", "Enlarge images with a student."),
    "evaluate": ("adc.cli.evaluate", "main", "Compare restored images with references."),
}

ENDS: dict[str, Any] = {"fit": ending_at_once} | dict.fromkeys(
    ("upscale", "evaluate", "export", "prune", "bench", "report"), ending_in_order
)
"""How SIGTERM ends commands that do not handle it themselves."""
EXAMPLES = {
    "new": "adc new small --teacher realesr-general-x4v3.pth --photos photos",
    "run": "adc run recipes/demo",
    "recipes": "adc recipes demo",
    "list": "adc list AdversarialDistillation",
    "fit": "adc fit -c recipes/demo/2_distill.yaml --trainer.callbacks.StopAfter.updates 100",
    "validate": "adc validate -c recipes/demo/2_distill.yaml",
    "test": "adc test -c recipes/demo/2_distill.yaml",
    "predict": "adc predict -c recipes/demo/2_distill.yaml",
    "cache": "adc cache -c recipes/adcsr/2_distill.yaml --folder cache/osediff --batches 10000",
    "cache-latents": "adc cache-latents -c latents.yaml --folder cache/latents --latents.count 10000",
    "cache-preferences": "adc cache-preferences -c recipes/duovsr/4_preferences.yaml",
    "prune": "adc prune -c recipes/demo/0_prune.yaml",
    "report": "adc report -c recipes/demo/3_report.yaml",
    "bench": "adc bench -c recipes/adcsr/3_bench.yaml",
    "export": "adc export runs/demo/2_distill -o exported --formats diffusers onnx",
    "upscale": "adc upscale photo.png -o large.png --student demo",
    "evaluate": "adc evaluate large/ truth/ --metrics psnr_y ssim_y --json figures.json",
}
"""A command line of each command, at the end of its help."""

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(argv: list[str] | None = None) -> NoReturn:
    """Run one command and exit: 0 done, 1 failed, 2 wrong usage or recipe, 130 interrupted.

    Args:
        argv: The command and its arguments; those of the process if None.
    """
    arguments = [*(sys.argv[1:] if argv is None else argv)]
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a name that is no file fails at once
    try:
        arguments = _take_plugin_folders(arguments)
        status = _dispatch(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("adc: interrupted\n")
        status = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = FAILED
    except Exception as error:
        if debugging():
            raise
        sys.stderr.write(f"adc: error: {describe(error)}\n")
        status = USAGE if isinstance(error, UsageError) else FAILED
    sys.exit(status)


def _dispatch(arguments: list[str]) -> int:
    name = arguments[0] if arguments else "--help"
    if name in COMMANDS:
        import logging

        module, function, _ = COMMANDS[name]
        logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)  # wants a kernel adc never runs
        with visible(), ENDS.get(name, nullcontext)():
            getattr(import_module(module), function)(arguments[1:])
        return 0
    if name in {"-h", "--help", "help"}:
        sys.stdout.write(_usage())
        return 0 if arguments else USAGE
    if name in {"-V", "--version"}:
        from adc import __version__

        sys.stdout.write(f"adc {__version__}\n")
        return 0
    if name.startswith("-"):
        raise UsageError(
            f"the command comes first, then its options: `adc COMMAND {name} ...`. `adc --help` lists them."
        )
    raise UsageError(f"no command {name!r}: {suggest(name, COMMANDS)}")


def _usage() -> str:
    commands = "\n".join(f"  {name:19}{summary}" for name, (_, _, summary) in COMMANDS.items())
    return f"""usage: adc COMMAND [OPTIONS]

Turns large diffusion super-resolution teachers into small, fast students.

commands:
{commands}

options of every command:
  --plugins FOLDER   also load the plugins of a folder (the same as ADC_PLUGIN_PATH)
  --help             explain the command

`adc --version` prints the version; ADC_DEBUG=1 shows tracebacks.
"""


def _take_plugin_folders(arguments: list[str]) -> list[str]:
    """Take ``--plugins FOLDER`` out of the arguments and put the folder on the path of plugins."""
    rest: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        name, has_value, folders = argument.partition("=")
        if name != "--plugins":
            rest.append(argument)
            continue
        folders = folders if has_value else next(waiting, "")
        if not folders:
            raise UsageError("--plugins needs a folder.")
        from adc.registry import add_plugin_folders

        try:
            add_plugin_folders(folders)
        except FileNotFoundError as error:
            raise UsageError(str(error)) from None
    return rest
