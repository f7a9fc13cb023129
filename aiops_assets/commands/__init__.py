"""Groups of commands of `aiops`; ``cli.py`` registers them."""
