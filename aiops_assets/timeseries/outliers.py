"""The share of values on a day that lie far from what a series has at that hour: broken exporters, wrong scrapes.

Single outliers are what detectors are for. A day on which many values are far out is not a good day to learn from.
"""

from collections.abc import Mapping
from datetime import date

import numpy as np
import pandas as pd

FAR_OUT = 3.0
"""Tukey's outer fences ("Exploratory Data Analysis", 1977): so many interquartile ranges beyond the quartiles. Of
normal values 2 in a million are outside, of exponential ones 0.9 %, of Student's t with 3 degrees of freedom 1.3 %."""
RARE = 0.005
"""Where the quartiles are equal, as of rare counts, fences are the quantiles of this share and of the rest."""
MANY = 0.05
"""A day has many outliers from this share on, over an hour of its minutes; it is out of the reach of healthy ones."""


def outlier_shares(times: pd.Series, series: pd.Series, values: pd.Series) -> Mapping[date, float]:
    """UTC day -> share (0 to 1) of its values that are outliers of their own series.

    Args:
        times: (n,) UTC.
        series: (n,) which series a value belongs to.
        values: (n,) of one metric; NaN is not counted.
    """
    there = values.notna().to_numpy()
    frame = pd.DataFrame(
        {
            "day": times[there].dt.date.to_numpy(),
            "hour": times[there].dt.hour.to_numpy(),
            "series": series[there].astype(str).to_numpy(),
            "value": values[there].to_numpy(dtype=np.float64),
        }
    )
    if frame.empty:
        return {}
    frame["value"] -= frame.groupby(["series", "hour"])["value"].transform("median")
    quantiles = frame.groupby("series")["value"].quantile(np.array([RARE, 0.25, 0.75, 1 - RARE])).unstack()
    width = quantiles[0.75] - quantiles[0.25]
    low = (quantiles[0.25] - FAR_OUT * width).where(width > 0, quantiles[RARE])
    high = (quantiles[0.75] + FAR_OUT * width).where(width > 0, quantiles[1 - RARE])
    outside = (frame["value"] < frame["series"].map(low)) | (frame["value"] > frame["series"].map(high))
    shares = outside.groupby(frame["day"]).mean()
    return dict(zip(shares.index.tolist(), shares.tolist(), strict=True))
