"""Which architectures of the installed spandrel library can be pruned: tried at small width, written as a table.

    python tools/spandrel_table.py                  # all of them: prune, replay, a training step
    python tools/spandrel_table.py --export SwinIR  # one, exported too; the rows of the others stay

Rows are kept in plugins/adc_spandrel/architectures.json, and the table in plugins/adc_spandrel/README.md.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

HOME = Path(__file__).parents[1] / "plugins/adc_spandrel"
WINDOWS = {"embed_dim": 24, "depths": [2], "num_heads": [2], "window_size": 8, "upscale": 4}
SMALL: dict[str, dict[str, Any]] = {
    "ATD": {**WINDOWS, "category_size": 32, "num_tokens": 8, "upsampler": "pixelshuffle"},
    "CRAFT": {"embed_dim": 24, "depths": [1], "num_heads": [6]},
    "Compact": {"num_feat": 12, "num_conv": 2},
    "DAT": {
        "embed_dim": 24,
        "split_size": [8, 16],
        "depth": [2],
        "num_heads": [2],
        "expansion_factor": 2,
        "upscale": 4,
    },
    "DCTLSA": {"nf": 20},
    "DITN": {"dim": 12, "ITL_blocks": 1, "SAL_blocks": 1, "UFONE_blocks": 1},
    "DRCT": {**WINDOWS, "upsampler": "pixelshuffle", "gc": 8},
    "DRUNet": {"in_nc": 4, "out_nc": 3, "nc": [8, 8, 8, 8], "nb": 2},
    "DnCNN": {"in_nc": 3, "out_nc": 3, "nc": 8, "nb": 4},
    "ESRGAN": {"num_filters": 12, "num_blocks": 2},
    "FBCNN": {"nc": [8, 8, 8, 8], "nb": 2},
    "FDAT": {"embed_dim": 24, "num_groups": 1, "depth_per_group": 2, "num_heads": 2, "mid_dim": 16},
    "FFTformer": {"dim": 16, "num_blocks": [1, 1, 1], "num_refinement_blocks": 1},
    "GRL": {
        "embed_dim": 24,
        "upscale": 4,
        "upsampler": "pixelshuffledirect",
        "depths": [2],
        "num_heads_window": [2],
        "num_heads_stripe": [2],
    },
    "HAT": {**WINDOWS, "compress_ratio": 3, "squeeze_factor": 6, "mlp_ratio": 2, "num_feat": 16},
    "HVICIDNet": {"channels": [8, 8, 16, 32], "heads": [1, 1, 2, 2]},
    "IPT": {"n_feats": 8, "scale": [4], "num_heads": 2, "num_layers": 1, "patch_size": 48},
    "KBNet_l": {"dim": 16, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1},
    "KBNet_s": {"width": 16, "middle_blk_num": 1, "enc_blk_nums": [1, 1, 1, 1], "dec_blk_nums": [1, 1, 1, 1]},
    "MMRealSR": {
        "num_in_ch": 3,
        "num_out_ch": 3,
        "num_feat": 8,
        "num_block": 1,
        "num_grow_ch": 8,
        "num_feats": [8, 8, 8, 8],
        "num_blocks": [1, 1, 1, 1],
    },
    "MixDehazeNet": {"embed_dims": [8, 16, 32, 16, 8]},
    "MoESR": {"dim": 16, "n_blocks": 1, "n_block": 2},
    "MoSR": {"n_block": 2, "dim": 16},
    "NAFNet": {"width": 8, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]},
    "OmniSR": {"num_feat": 16},
    "PLKSR": {"dim": 16, "n_blocks": 2},
    "RCAN": {"n_resgroups": 1, "n_resblocks": 2, "n_feats": 16, "reduction": 4},
    "RGT": {"embed_dim": 24, "depth": [2], "num_heads": [2], "mlp_ratio": 2, "upscale": 4},
    "RealPLKSR": {"dim": 16, "n_blocks": 2},
    "RetinexFormer": {"n_feat": 8, "stage": 1},
    "SAFMN": {"dim": 24, "n_blocks": 2},
    "SAFMNBCIE": {"dim": 24, "n_blocks": 1, "num_layers": 1},
    "SCUNet": {"config": [1] * 7, "dim": 64},
    "SPAN": {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 12},
    "SeemoRe": {"num_experts": 2, "num_layers": 2, "embedding_dim": 16},
    "SwiftSRGAN": {"num_channels": 12, "num_blocks": 2},
    "Swin2SR": {**WINDOWS, "mlp_ratio": 2, "upsampler": "pixelshuffle"},
    "SwinIR": {**WINDOWS, "mlp_ratio": 2, "upsampler": "pixelshuffle"},
    "Uformer": {"embed_dim": 8, "depths": [1] * 9, "num_heads": [1, 1, 2, 2, 2, 2, 2, 1, 1]},
}
"""Arguments at which an architecture is small; of those that are not here, their own."""
UNTRIED = {
    "AuraSR": "has no default size, and takes a noise beside the image",
    "GFPGAN": "is for faces of 512 x 512",
    "LaMa": "is for inpainting",
    "RestoreFormer": "is for faces of 512 x 512",
}


def attempt(name: str, ratio: float, with_export: bool) -> dict[str, Any]:
    """The row of an architecture: what of it was cut, what stays whole and why, and how far it came."""
    from adc_spandrel import SpandrelStudent

    from adc.pruning import Magnitude, load_student, prune, save_student
    from adc.pruning.prune import choose_groups

    row: dict[str, Any] = {"state": "not built"}
    torch.manual_seed(0)
    try:
        student = SpandrelStudent(architecture=name, arguments=SMALL.get(name, {}))
        row |= {"scale": student.scale, "multiple": student.multiple, "state": "not pruned"}
        before = sum(parameter.numel() for parameter in student.parameters())
        whole: list[Any] = []
        choose_groups(student.prunable(), {"network": ratio}, Magnitude(), {}, whole)
        cut = prune(student, {"network": ratio}, Magnitude())["student"]
        after = sum(parameter.numel() for parameter in student.parameters())
        row |= {"layers": [cut.changed, cut.layers], "parameters": [before, after]}
        row["whole"] = [[one.kind, one.reason] for one in whole]
        if not cut.changed:
            raise ValueError("no channels of it can go")
        row["state"] = "not trained"
        lr = torch.rand(2, 1, 3, max(32, student._minimum), max(35, student._minimum + 3)) * 2 - 1
        student.restore(lr).square().mean().backward()
        torch.optim.Adam(student.parameters(), lr=1e-4).step()
        row["state"] = "not replayed"
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            save_student(student, folder)
            again = load_student(folder).eval()
            student.eval()
            for one, other in zip(student.state_dict().values(), again.state_dict().values(), strict=True):
                if not torch.equal(one, other):
                    raise ValueError("weights differ after replay")
            difference = (again.restore(lr) - student.restore(lr)).abs().max()
            if not difference <= 1e-4 * student.restore(lr).abs().max():
                raise ValueError("results differ after replay")
        row["state"] = "works"
        if with_export:
            row["export"] = export(student)
    except Exception as error:
        row["reason"] = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
    return row


def export(student: Any) -> str:
    """Whether ``torch.export``, from which ONNX is made, has a program of any size of a student."""
    from adc.exporting.onnx import program

    try:
        module: Any = program(student).module()
        for height, width in ((33, 40), (47, 35)):
            image = torch.rand(1, 3, height, width) * 2 - 1
            with torch.no_grad():
                expected = student.restore(image[:, None])[:, 0]
                if not (module(image) - expected).abs().max() <= 1e-3 * expected.abs().max().clamp(min=1):
                    return "differs"
    except TimeoutError:
        return "took too long"
    except Exception as error:
        return f"no: {next(iter(str(error).strip().splitlines()), type(error).__name__)[:120]}"
    return "any size"


def table(rows: dict[str, dict[str, Any]], version: str) -> str:
    """The page of the plugin."""
    good = {name: row for name, row in sorted(rows.items()) if row["state"] == "works"}
    bad = {name: row for name, row in sorted(rows.items()) if row["state"] != "works"}
    lines = [(HOME / "README.head.md").read_text().rstrip(), ""]
    lines += [f"## What is pruned ({len(good)} architectures of spandrel {version})", ""]
    lines += [
        "| architecture | layers cut | parameters left | LR sides | ONNX | tried, stays whole |",
        "|---" * 6 + "|",
    ]
    for name, row in good.items():
        left = row["parameters"][1] / row["parameters"][0]
        multiple = f"multiples of {row['multiple']}" if row["multiple"] > 1 else "any"
        whole = "; ".join(f"`{_short(kind)}`: {_cell(reason)}" for kind, reason in row["whole"]) or "nothing"
        cells = (
            name,
            "{} of {}".format(*row["layers"]),
            f"{left:.0%}",
            multiple,
            row.get("export", "not tried"),
            whole,
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"## What is not ({len(bad)})", "", "| architecture | how far it came | why |", "|---|---|---|"]
    lines += [f"| {name} | {row['state']} | {_cell(row.get('reason', ''))} |" for name, row in bad.items()]
    return "\n".join(lines) + "\n"


def _short(kind: str) -> str:
    names = [name.removeprefix("network.") for name in kind.split(", ")]
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def _cell(text: str) -> str:
    return text.replace("|", "/").split(", but got")[0][:110]


def main() -> None:
    """Try architectures and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="Architectures; all if none is named.")
    parser.add_argument("--ratio", type=float, default=0.5, help="What is cut of each group of channels.")
    parser.add_argument("--export", action="store_true", help="Trace a program for ONNX too, which takes longest.")
    parser.add_argument("--seconds", type=int, default=120, help="The most time for one architecture.")
    options = parser.parse_args()
    warnings.simplefilter("ignore")

    import spandrel
    from adc_spandrel.networks import architectures

    def late(*_: Any) -> None:
        raise TimeoutError(f"takes more than {options.seconds} seconds")

    signal.signal(signal.SIGALRM, late)
    notes = HOME / "architectures.json"
    rows = json.loads(notes.read_text()) if notes.is_file() else {}
    for name in options.names or architectures():
        signal.alarm(options.seconds)
        untried = {"state": "not built", "reason": UNTRIED.get(name)}
        rows[name] = untried if name in UNTRIED else attempt(name, options.ratio, options.export)
        signal.alarm(0)
        print(name, {key: value for key, value in rows[name].items() if key != "whole"}, file=sys.stderr, flush=True)
        notes.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")
    (HOME / "README.md").write_text(table(rows, spandrel.__version__))


if __name__ == "__main__":
    main()
