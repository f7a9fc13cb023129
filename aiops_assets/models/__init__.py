"""Pure ML: one model a file, over DataFrames and arrays. Heavy imports happen inside functions."""
