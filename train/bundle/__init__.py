"""Several videos in one file: added one by one, jointly, or on a pretrained weight layer."""
