"""What the processes need from the operating system, one module for each subject."""
