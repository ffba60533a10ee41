"""What a process is given by the one before it, or by a service manager."""
