"""What of a request is not normal, why, and what to do."""
