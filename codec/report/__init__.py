"""Results beside their source, for people: measured, then laid out as a page, a sheet or a video."""
