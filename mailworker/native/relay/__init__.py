"""The relay between a client and its backend: one end of it, and the pump that moves bytes."""
