"""What runs by itself, and the history of what ran."""
