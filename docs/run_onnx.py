"""Enlarge an image with an exported student: python run_onnx.py model.onnx small.png large.png

The result has 8 bits per channel and no transparency: what is transparent is laid over white, 16 bits become 8.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model, source, target = sys.argv[1:]
image = ImageOps.exif_transpose(Image.open(source))
if image.mode.startswith("I"):  # grey of 16 bits, which Pillow's convert would cut off at 255
    image = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")
session = onnxruntime.InferenceSession(model)
small = np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
large = session.run(None, {"image": small})[0][0]
noted = json.loads(session.get_modelmeta().custom_metadata_map.get("adc", "{}"))
if noted.get("color_matching") == "adain":  # the usual colours of this student: mean and spread of the input
    axes = {"axis": (1, 2), "keepdims": True}
    gain = np.sqrt((small[0].var(**axes, ddof=1) + 1e-8) / (large.var(**axes, ddof=1) + 1e-8))
    large = (large - large.mean(**axes)) * gain + small[0].mean(**axes)
elif noted.get("color_matching") == "wavelet":
    print("the usual colours of this student (wavelet) are not matched here; `adc upscale` does it", file=sys.stderr)
large = large.clip(-1, 1).transpose(1, 2, 0)
Image.fromarray(((large + 1) * 127.5).round().astype(np.uint8)).save(target)
