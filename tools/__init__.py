"""The `amptree` command: a file a verb."""
