"""The event loop: it watches descriptors and deadlines, and calls their handlers."""
