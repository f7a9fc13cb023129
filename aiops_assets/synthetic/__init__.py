"""Generated data: pods, a cluster, habits of other series, anomalies and their injection."""
