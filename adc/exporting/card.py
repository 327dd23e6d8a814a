"""The model card: what an exported student is, where it comes from, and what it reaches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from adc import runs

_TEMPLATE = """\
---
license: {license}
pipeline_tag: {task}
tags: [super-resolution, adc]
---

# {title}

A super-resolution network: one pass enlarges {what} {scale} times in height and in width.

| | |
|---|---|
| system | {system} |
| student | `{class_path}`, {parameters:.2f} M parameters |
| teacher | {teacher} |
| recipe | {recipe} |
| data | {data} |
| training | {training} |
| licence of the weights | {license} |
| written by | adc {version} |

## Files

{files}

{inputs} are RGB in [-1, 1], `(N, {axes}, h, w)` in and `(N, {axes}, {scale} h, {scale} w)` out, any height and width
from 16; padding happens inside. {colors} Results need clamping to [-1, 1].
{usage}
## Metrics

{metrics}
"""

_USAGE = """
`diffusion_pytorch_model.safetensors` is read where `adc` and the package of the student, `{package}`, are installed:

```python
import torch
from adc.exporting.diffusers import from_pretrained

model = from_pretrained("{folder}")  # torch_dtype=torch.float16 for half the memory
large = model(torch.zeros({example})).clamp(-1, 1)
```
"""

_OF_IMAGES = {"task": "image-to-image", "what": "an image", "inputs": "Images", "axes": "3"}
_OF_CLIPS = {"task": "video-to-video", "what": "a clip", "inputs": "Clips of any number of frames T", "axes": "T, 3"}

_COLORS = {
    "none": "",
    "adain": "Whole results then get the mean and the standard deviation of each channel of the input (adain), which\n"
    "`adc upscale` and `StudentModel` do by themselves, and callers of the ONNX file and of model.pt2 must do.",
    "wavelet": "Whole results then get the coarse colours of the bicubically enlarged input (wavelet), which\n"
    "`adc upscale` and `StudentModel` do by themselves, and callers of the ONNX file and of model.pt2 must do.",
}


def write_card(folder: Path, source: Path, facts: dict[str, Any]) -> None:
    """Write ``README.md`` of an exported student; its recipe is read from ``config.yaml`` of the source, if there.

    Args:
        folder: The folder of the export.
        source: The student folder.
        facts: ``title``, ``system``, ``license``, ``parameters``, ``scale``, ``files`` (rows of `export`), ``of_clips``
            (whether it takes clips), ``color_matching``, and ``metrics``, a JSON file or None.
    """
    from adc import __version__

    origin = _origin(source)
    description = yaml.safe_load((source / "student.yaml").read_text())
    text = _TEMPLATE.format(
        title=facts["title"],
        system=facts["system"] or "not stated",
        license=facts["license"] or "unknown",
        class_path=description["class_path"],
        parameters=facts["parameters"] / 1e6,
        scale=facts["scale"],
        version=__version__,
        colors=_COLORS[facts["color_matching"]],
        **(_OF_CLIPS if facts["of_clips"] else _OF_IMAGES),
        files=_files(facts["files"]),
        usage=_usage(folder, description["class_path"], facts),
        metrics=_metrics(facts["metrics"]),
        **origin,
    )
    runs.write_text(folder / "README.md", text)


def _usage(folder: Path, class_path: str, facts: dict[str, Any]) -> str:
    if all(not row["file"].startswith("diffusion_") for row in facts["files"]):
        return ""
    example = "1, 3, 3, 64, 64" if facts["of_clips"] else "1, 3, 64, 64"
    return _USAGE.format(package=class_path.partition(".")[0], folder=folder.resolve().name, example=example)


def _origin(source: Path) -> dict[str, str]:
    path = source / "config.yaml"
    config = (yaml.safe_load(path.read_text()) if path.is_file() else None) or {}
    model = config.get("model") or {}
    arguments = model.get("init_args") or {}
    noted = runs.read_json(source / runs.RECIPE) or {}
    finished = runs.finished(source) or {}
    found = {
        "teacher": _component(arguments.get("teacher")),
        "recipe": f"`{noted['recipe']}` (sha256 {noted['sha256'][:12]})" if noted.get("recipe") else None,
        "data": _component(config.get("data"), ("train_dir", "degradation", "size")),
        "training": _training(model, finished),
    }
    return {key: value or "not noted in the student folder" for key, value in found.items()}


def _component(value: Any, keys: tuple[str, ...] = ("folder", "weights")) -> str | None:
    if not isinstance(value, dict) or "class_path" not in value:
        return f"`{value}`" if isinstance(value, str) else None
    arguments = value.get("init_args") or {}
    entries = [(key, arguments[key]) for key in keys if arguments.get(key) is not None]
    stated = [f"{k}: {v.get('class_path', '').rpartition('.')[2] if isinstance(v, dict) else v}" for k, v in entries]
    name = value["class_path"].rpartition(".")[2]
    return f"`{name}`" + (f" ({', '.join(stated)})" if stated else "")


def _training(model: dict[str, Any], finished: dict[str, Any]) -> str | None:
    if "class_path" not in model:
        return None
    updates = ", ".join(f"{count} updates of {role}" for role, count in (finished.get("updates") or {}).items())
    seconds = f", {finished['seconds']:.0f} s" if finished.get("seconds") else ""
    return f"`{model['class_path'].rpartition('.')[2]}`" + (f": {updates}{seconds}" if updates else "")


def _files(rows: list[dict[str, Any]]) -> str:
    lines = ["| file | MB | what | largest difference from float32 in torch | PSNR against it, dB |", "|---" * 5 + "|"]
    for row in rows:
        difference = f"{row['difference']:.2g}" if "difference" in row else ""
        decibels = f"{row['decibels']:.1f}" if "decibels" in row else ""
        lines.append(f"| `{row['file']}` | {row['bytes'] / 1e6:.1f} | {row['what']} | {difference} | {decibels} |")
    return "\n".join(lines)


def _metrics(path: str | None) -> str:
    if path is None:
        return "None were given to `adc export --metrics`."
    found = json.loads(Path(path).read_text())
    restorers = found.get("restorers") if isinstance(found, dict) else None
    if not isinstance(restorers, dict):
        return f"```json\n{json.dumps(found, indent=1)[:4000]}\n```"
    columns = sorted(
        {key for row in restorers.values() for key, value in row.items() if isinstance(value, int | float)}
    )
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, row in restorers.items():
        cells = [f"{row[key]:.6g}" if isinstance(row.get(key), int | float) else "" for key in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
