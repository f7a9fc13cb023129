"""What has stopped: metrics, nodes and pods without samples, and values that no longer change."""
