"""The constants of rendering (codec/FORMAT.md, "Rendering"). Every decoder needs them, and no file stores them.

This module loads no JAX, so a decoder without JAX can import it.
"""

import numpy as np
from jaxtyping import Float32

NORM_EPSILON = 1e-5  # added to the variance of a channel before the square root
FLOW_UNIT = 8.0  # pixels of displacement for each unit of a flow
BLEND_BIAS = 1.0  # added to the blend before the sigmoid, so the canvas is visible at the start of a fit: sigmoid(1) = 0.73
OWN_PICTURE_BIAS = 1.0  # added before the sigmoid to the weight of a frame's own picture; its neighbours share 1 minus the sigmoid
FRAME_CODE_BASE = 100.0  # in NIRVANA's fixed frame code, wavelengths grow from 2 pi frames towards this many times 2 pi frames

# The six filter taps of H.264 for a sample half-way between two neighbouring samples (ITU-T H.264, 8.4.2.2.1).
HALF_SAMPLE_TAPS = (1 / 32, -5 / 32, 20 / 32, 20 / 32, -5 / 32, 1 / 32)
TAPS_BEFORE, TAPS_AFTER = 2, 3  # the number of taps before and after the sample to the left of the half-way position

# Weights of the four entries around a new entry when a grid is doubled; the third one is the nearest. They are those of a cubic
# interpolation (Catmull-Rom) a quarter of an entry away from the nearest entry.
DOUBLING_TAPS: Float32[np.ndarray, "4"] = np.array([-3 / 128, 29 / 128, 111 / 128, -9 / 128], np.float32)
PYRAMID_GAIN = 0.5  # change of a sample in [0, 1] by a grid value of 1, before a fit changes it
GRID_EXPONENT = -32  # exponent of the fixed step size of context-coded grids: a symbol stands for 2 ** -4

# Row k holds the amounts that one unit of opponent channel k adds to R', G' and B'.
OPPONENT_BASIS: Float32[np.ndarray, "3 3"] = np.array(
    [[0.57735026, 0.57735026, 0.57735026], [0.70710677, 0.0, -0.70710677], [-0.40824828, 0.81649658, -0.40824828]], np.float32
)

# The lifting steps of the wavelet CDF 9/7 (ITU-T T.800, table F.4), and the factors that make its synthesis filters of unit energy.
LIFTING = (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971)
LOW_GAIN, HIGH_GAIN = 0.8773746, 1.1270437

# Row k holds the amounts that one unit of Y', Cb, Cr adds to R', G' and B' (ITU-R BT.601, full range); grey is Y' = 0 here.
YCBCR_BASIS: Float32[np.ndarray, "3 3"] = np.array([[1.0, 1.0, 1.0], [0.0, -0.344136, 1.772], [1.402, -0.714136, 0.0]], np.float32)
GREY = 0.5  # of R', G' and B' where all coefficients of a tree are zero
MEAN_CELL = 8  # side of the squares whose means stay where a prediction fades
MOTION_CELL = 8  # pixels that an entry of a plane of motion covers along each axis
MOTION_OCTAVES, SAMPLE_OCTAVES = 3, 4  # of the wavelet transforms of a tree
FLOW_STEP, BLEND_STEP = 0.5, 2.0  # pixels, and units before the sigmoid, of a symbol of motion
COARSE_MOTION = 4.0  # units of motion's orthonormal coarse coefficients for each symbol: a symbol is the mean of a quarter pixel
FADE_BIAS = 4.0  # added to the fade before the sigmoid
# Pixels: flows of neighbouring entries that differ by less are interpolated. Flows are multiples of 1/16, but for rounding errors, which
# therefore cannot change the result of this comparison.
JOINED = 2 + 1 / 32
