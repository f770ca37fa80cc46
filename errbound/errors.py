"""The errors that errbound raises on purpose, each with the exit status of the command line.

Every message is one line: what is wrong, where, and what to do about it.
"""


class ErrboundError(Exception):
    """Base of all errors below; ``status`` is the exit status of the command line."""

    status = 4


class InputError(ErrboundError):
    """A model, a data set, an option or a file that cannot be used (exit status 2)."""

    status = 2


class ContainmentError(ErrboundError):
    """An observed value lies outside its enclosure (exit status 3).

    Either an assumption of the arithmetic does not hold on this machine or errbound is wrong.
    """

    status = 3
