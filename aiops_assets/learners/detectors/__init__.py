"""Detectors: an isolation forest and its flat form, an ensemble over windows, an LSTM autoencoder."""
