"""The error log: nginx's lines, written without ever blocking a worker."""
