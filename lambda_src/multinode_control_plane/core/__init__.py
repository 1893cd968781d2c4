"""Decisions as values: records and `now` in, what to do out. No I/O, no clock, no environment, no randomness."""
