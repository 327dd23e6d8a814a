"""A pretrained half decoder into the folder of a student.

python tools/convert_decoder.py halfDecoder.ckpt runs/adcsr/0_prune runs/adcsr/1_decoder
"""

import sys

from _command import run
from adc_sd21.convert import decoder

if __name__ == "__main__":
    sys.exit(run(decoder))
