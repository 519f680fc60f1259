"""What the process that readers fork from imports once."""

import numpy as np  # noqa: F401
import pandas as pd  # noqa: F401
import scipy.io
import scipy.signal  # noqa: F401
import wfdb  # noqa: F401

import ecg_ramba.dashboard.limited
import ecg_ramba.dashboard.read  # noqa: F401
