"""The energy tree: its pure core (`actors.energy`), its actors and their processes."""
