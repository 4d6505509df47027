"""Faults that the user can mend."""


class UserError(Exception):
    """One line for the user, or several of the same kind, without a traceback; exit code 1."""
