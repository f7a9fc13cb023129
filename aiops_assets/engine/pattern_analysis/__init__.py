"""What is regular or remarkable in metrics and events of a request."""
