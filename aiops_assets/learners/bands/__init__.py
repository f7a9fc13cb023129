"""Expected bands: what each row of any metric should be, and how far from it is unusual, by the rows before it."""
