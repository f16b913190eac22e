"""Numbers that every decoder needs and no file says: the constants of rendering (codec/FORMAT.md, "Rendering").

They stand here, without JAX, so that a decoder of any kind can import them.
"""

import numpy as np
from jaxtyping import Float32

NORM_EPSILON = 1e-5  # added to a channel's variance before its root is taken
FLOW_UNIT = 8.0  # pixels of displacement for each unit of a flow
BLEND_BIAS = 1.0  # added to the canvas's blend before the sigmoid: the canvas shows until a fit learns otherwise
OWN_PICTURE_BIAS = 1.0  # added to the weight of a frame's own picture against its neighbours', before the sigmoid
FRAME_CODE_BASE = 100.0  # base of the wavelengths by which NIRVANA's fixed code tells frames apart

# H.264's six taps for a sample half-way between two (ITU-T H.264, 8.4.2.2.1): BEFORE of them lie before it, AFTER behind it.
HALF_SAMPLE_TAPS = (1 / 32, -5 / 32, 20 / 32, 20 / 32, -5 / 32, 1 / 32)
TAPS_BEFORE, TAPS_AFTER = 2, 3  # counted from the sample on the left of the half-way position

# Row k: the amount that one unit of opponent channel k adds to R', G', B'.
OPPONENT_BASIS: Float32[np.ndarray, "3 3"] = np.array(
    [[0.57735026, 0.57735026, 0.57735026], [0.70710677, 0.0, -0.70710677], [-0.40824828, 0.81649658, -0.40824828]], np.float32
)
