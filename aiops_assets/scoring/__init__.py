"""The served champions asked about what happens now: the newest window, and what they say of it."""
