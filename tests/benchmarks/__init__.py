"""Ratios against live alternatives, measured in one run: `python -m tests.benchmarks [name...]`."""
