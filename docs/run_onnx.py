"""Enlarge an image with an exported student: python run_onnx.py model.onnx small.png large.png"""

import sys

import numpy as np
import onnxruntime
from PIL import Image

model, source, target = sys.argv[1:]
session = onnxruntime.InferenceSession(model)
small = np.asarray(Image.open(source).convert("RGB"), np.float32).transpose(2, 0, 1)[None] / 127.5 - 1
large = session.run(None, {"image": small})[0][0].clip(-1, 1).transpose(1, 2, 0)
Image.fromarray(((large + 1) * 127.5).round().astype(np.uint8)).save(target)
