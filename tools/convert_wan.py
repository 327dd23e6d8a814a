"""Wan's published weights to a folder in diffusers' layout, and back.

python tools/convert_wan.py Wan2.1-T2V-1.3B weights/wan
python tools/convert_wan.py weights/wan published --back

The published folder holds Wan2.1_VAE.pth and the transformer in .safetensors; either may be absent. Recipes can also
name the published files as they are.
"""

import sys

from _command import run
from adc_wan.folder import convert

if __name__ == "__main__":
    sys.exit(run(convert))
