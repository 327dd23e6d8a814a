"""pisa_sr.pkl to the folder of a PiSASR teacher.

python tools/convert_pisasr.py pisa_sr.pkl weights/sd21 weights/pisasr --text weights/sd21
"""

import sys

from _command import run
from adc_sd21.convert import pisasr

if __name__ == "__main__":
    sys.exit(run(pisasr))
