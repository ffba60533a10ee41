"""One session, from accept to relay."""
