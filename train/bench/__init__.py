"""`inr bench`: this codec and FFmpeg's on the same pixels, measured by the same code."""
