"""What the processes ask of the operating system, a module for each thing."""
