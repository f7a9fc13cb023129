"""One machine: its metrics, generated scenarios of them, and the features that models read. Pure."""
