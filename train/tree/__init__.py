"""Fits trees of frames: frame by frame in the order of decoding, each one beside its references as a decoder sees them."""
