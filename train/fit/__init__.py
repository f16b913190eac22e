"""The one loop and its parts: state, step, loss, rate, rounding, schedule, rate control, RDOQ."""
