"""Arbitrary bytes for every parser, guided by coverage, and for the C of mailworker/native."""
