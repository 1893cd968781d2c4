"""The control plane: stateless handlers around a pure core. ARCHITECTURE.md follows one call through it."""
