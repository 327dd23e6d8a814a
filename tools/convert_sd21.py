"""Stable Diffusion 2.1 (a diffusers folder, or a single file) to the folder that recipes name.

python tools/convert_sd21.py stable-diffusion-2-1-base weights/sd21
"""

import sys

from _command import run
from adc_sd21.convert import sd21

if __name__ == "__main__":
    sys.exit(run(sd21))
