"""A source to a file: one video, or a long one in segments."""
