"""Moved to ``errbound.verdict``: a package ``errbound.certify`` would hide the function."""

from errbound.verdict.issue import *  # noqa: F403
