"""$names of a session: where their values come from, and texts that hold them."""
