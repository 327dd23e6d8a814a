"""net_params_200.pkl and halfDecoder.ckpt to the folder of an AdcSR student.

python tools/convert_adcsr.py net_params_200.pkl halfDecoder.ckpt runs/adcsr/published
"""

import sys

from _command import run
from adc_sd21.convert import adcsr

if __name__ == "__main__":
    sys.exit(run(adcsr))
