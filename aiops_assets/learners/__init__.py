"""What fits and predicts, and nothing else."""
