"""Enlarge an image with an exported student: python run_onnx.py model.onnx small.png large.png

The result has 8 bits per channel and no transparency: what is transparent is laid over white, 16 bits become 8.
"""

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
large = session.run(None, {"image": small})[0][0].clip(-1, 1).transpose(1, 2, 0)
Image.fromarray(((large + 1) * 127.5).round().astype(np.uint8)).save(target)
