"""The one error that users meet: what is wrong, the value, and what to do."""

from __future__ import annotations


class MocoError(ValueError):
    """Something the user can put right; the message says what is wrong and what to do.

    Every other exception that leaves this package is a defect of the package.
    """


class ToldElsewhere(MocoError):  # noqa: N818
    """The same error, on a process that need not say so: the main process does."""
