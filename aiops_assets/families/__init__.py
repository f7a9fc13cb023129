"""One family a model: how it is fitted, stored, loaded, asked and described."""
