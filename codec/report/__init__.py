"""Reports that show decoded files next to their source: as a page, a sheet of frames, or a video."""
