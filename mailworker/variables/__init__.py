"""Variables ($names) of a session: the sources of their values, and texts that contain them."""
