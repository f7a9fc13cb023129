"""From samples as clients send them to what is worth telling people: anomalies, predicted issues, patterns. Pure."""
