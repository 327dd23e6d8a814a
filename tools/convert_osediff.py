"""osediff.pkl, AdcSR's or OSEDiff's, to the folder of an OSEDiff teacher.

python tools/convert_osediff.py osediff.pkl weights/osediff --text weights/sd21
"""

import sys

from _command import run
from adc_sd21.convert import osediff

if __name__ == "__main__":
    sys.exit(run(osediff))
