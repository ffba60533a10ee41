"""Waiting, timers, tasks and streams."""
