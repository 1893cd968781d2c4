"""The embedded deployment: API, change feed, sweep and process compute in one process, on the loopback interface."""
