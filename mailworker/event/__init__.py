"""The event loop on selectors: who waits for which descriptor, and until when."""
