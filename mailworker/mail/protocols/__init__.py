"""The protocols: one row each, and the table of all rows."""
