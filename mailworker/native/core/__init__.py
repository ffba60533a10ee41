"""What sessions run on: the selector, timers, tasks, streams and sockets."""
