"""Errors that a user can mend: one line that says what, where and what to do."""


class UserError(Exception):
    """Bad input or configuration; the command line prints the message alone, no traceback."""
