"""Drivers of meters: each reads those of some nodes, and tells what it read or why it could not."""
