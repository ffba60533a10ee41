"""Duels of mailworker and nginx; `python -m bench --list` names them."""
