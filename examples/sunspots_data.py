"""Writes statsmodels' yearly sunspots as sunspots.npz, which sunspots_tcn.yaml trains on."""

import numpy as np
from statsmodels.datasets import sunspots

YEARS = 24
series = sunspots.load().data["SUNACTIVITY"].to_numpy("float32") / 100
windows = np.lib.stride_tricks.sliding_window_view(series, YEARS + 1)
np.savez("sunspots.npz", x=windows[:, :YEARS, None], y=windows[:, YEARS])
known = np.abs(np.diff(series[-len(windows) // 5 :])).mean()
print(f"mean absolute error of the year before in the last fifth: {known:.4f}")
