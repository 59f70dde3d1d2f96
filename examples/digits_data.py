"""Writes scikit-learn's digits as digits.npz, which the programs of digits_cnn.yaml train on."""

import numpy as np
from sklearn.datasets import load_digits

data = load_digits()
images = data.images[..., None].astype("float32") / 16
np.savez("digits.npz", x=images, y=data.target)
