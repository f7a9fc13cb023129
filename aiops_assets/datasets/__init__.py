"""From the lake and the generators to a training set."""
