"""Puts a deployment together from ports, adapters and the environment: one module per backend."""
