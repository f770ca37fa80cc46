"""Analyses of a program: a real execution, the enclosure of all executions, its shadow."""

from errbound.analysis.enclosure import Enclosed, Encloser
from errbound.analysis.execution import execute
from errbound.analysis.relaxation import Trace
from errbound.analysis.shadow import Shadow, reals

__all__ = ["Enclosed", "Encloser", "Shadow", "Trace", "execute", "reals"]
