"""Encodes a source to a file: a video as a whole, or a long video in segments."""
