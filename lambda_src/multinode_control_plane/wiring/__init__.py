"""Where ports meet adapters and the environment: one module per backend."""
