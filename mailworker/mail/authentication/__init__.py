"""Who decides about a login."""
