"""mailworker-tune measures how many workers a machine should run, with the certificates of a configuration."""
