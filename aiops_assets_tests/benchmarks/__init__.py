"""Time limits of the project, as ratios measured in one run: `make bench`."""
