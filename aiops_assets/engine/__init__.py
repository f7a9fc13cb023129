"""The coordination engine's three questions: detect, predict, analyze."""
