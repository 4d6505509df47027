"""Moves typed messages between processes; knows nothing of energy."""
