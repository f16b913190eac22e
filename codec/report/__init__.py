"""Reports of `inr compare`, which show decoded files next to their source: a page, a sheet of frames, or a video."""
