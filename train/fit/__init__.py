"""The training loop and its parts: state, step, loss, rate, rounding, schedule, rate control, rate-distortion optimisation (RDOQ)."""
