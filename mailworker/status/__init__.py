"""The pages and commands that the status process serves."""
