"""Arbitrary bytes for every parser, led by the coverage they reach; and for the C of mailworker/native."""
