"""The master, its workers and what they ask of the system: the only layer that forks or touches signals."""
