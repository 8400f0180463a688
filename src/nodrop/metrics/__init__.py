"""What machines are told of the engine: Prometheus metrics, resource metrics, the access log."""
