"""How metrics of a request go on, and which issues come of them."""
