"""The arrays of the market: (columns, nodes), (columns, EVSEs) and the like."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]
Counts = NDArray[np.int8]
"""Phases, and other small numbers."""
