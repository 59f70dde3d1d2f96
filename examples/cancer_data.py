"""Writes scikit-learn's breast cancer data as cancer.npz, which cancer_mlp.yaml trains on."""

import numpy as np
from sklearn.datasets import load_breast_cancer

data = load_breast_cancer()
# In the file both kinds stand in no order that is known.
rows = np.random.default_rng(0).permutation(len(data.target))
np.savez("cancer.npz", x=data.data[rows].astype("float32"), y=1 - data.target[rows])
