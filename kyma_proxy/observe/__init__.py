"""What the gateway tells its operator: log lines, metrics, one line a request."""
