"""The local deployment: API, change feed, sweep and compute in one process, on the loopback interface."""
