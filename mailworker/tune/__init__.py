"""How many workers this machine should run: measured with the configuration's own certificates."""
