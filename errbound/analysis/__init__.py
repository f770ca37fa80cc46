"""Analyses of a program: a real execution, the enclosure of all executions."""

from errbound.analysis.enclosure import Enclosed, Encloser
from errbound.analysis.execution import execute

__all__ = ["Enclosed", "Encloser", "execute"]
