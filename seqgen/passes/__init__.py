"""Rewrites of the graph: each takes a model and returns one."""
