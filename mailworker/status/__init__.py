"""What the status process serves."""
