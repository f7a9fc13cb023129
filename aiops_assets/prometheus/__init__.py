"""The range-query client of a metrics server: planning of chunks, transport, reading of answers."""
