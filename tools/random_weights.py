"""Writes the folders that recipes/adcsr names, with random numbers in them: to try every stage at full size.

python tools/random_weights.py weights

Makes weights/sd21, weights/osediff and weights/prompts (8 GB); nothing that is trained from them is of any use.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from adc_sd21 import networks
from adc_sd21.autoencoder import KLAutoencoder
from adc_sd21.folder import save, save_tensors
from adc_sd21.one_step import RESTORER, write_settings
from adc_sd21.text import KEY, name_of
from torch import nn

TOKENS = 77


def write(out: Path, seed: int = 0) -> None:
    """Write Stable Diffusion's networks, a teacher made of the same, and the embedding of the empty prompt."""
    torch.manual_seed(seed)
    vae, unet = KLAutoencoder(networks.SD_VAE), networks.unet(networks.SD_UNET)
    save(vae, networks.SD_VAE, out / "sd21" / "vae", torch.float32)
    save(unet, networks.SD_UNET, out / "sd21" / "unet", torch.float32)
    teacher = nn.Module()
    teacher.unet = unet
    save(vae, networks.SD_VAE, out / "osediff" / "vae", torch.float32)
    save(teacher, networks.SD_UNET, out / "osediff" / RESTORER, torch.float32)
    write_settings(out / "osediff" / RESTORER, 999, None, own_encoder=False)
    (out / "prompts").mkdir(exist_ok=True)
    embedding = torch.randn(TOKENS, networks.SD_UNET["cross_attention_dim"])
    save_tensors({KEY: embedding}, out / "prompts" / name_of(""), torch.float32)


def main(argv: list[str] | None = None) -> int:
    """Write the folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="where the folders go")
    parser.add_argument("--seed", type=int, default=0, help="of the numbers (0)")
    options = parser.parse_args(argv)
    write(options.out, options.seed)
    print(f"wrote {options.out}/sd21, {options.out}/osediff and {options.out}/prompts: random numbers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
