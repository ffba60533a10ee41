"""What is said with a client before it is logged in."""
