"""`inr bench` compares this codec with FFmpeg's codecs on the same pixels, and measures all of them by the same code."""
