"""What is installed beside the program: manual pages, completions, a first configuration."""
