"""The typed graph that everything is compiled through."""
