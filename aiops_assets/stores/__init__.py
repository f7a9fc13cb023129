"""What is kept: days of metrics, training sets, served models. All writes are atomic."""
