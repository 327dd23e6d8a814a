"""DOVE's published folder and its prompt embedding to the folder that recipes name.

python tools/convert_dove.py pretrained_models/DOVE prompt_embeddings/e3b0c442[...].safetensors weights/dove

The published folder can also be named in a recipe as it is, with the embedding as `prompt`.
"""

import sys

from _command import run
from adc_video.convert import dove

if __name__ == "__main__":
    sys.exit(run(dove))
