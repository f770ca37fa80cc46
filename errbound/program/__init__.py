"""Programs: frozen graphs of operator records, traced from modules or loaded from archives."""

from errbound.program.export import freeze, program_of, quiet, trace, unknown_operators
from errbound.program.graph import Node, Program, Ref

__all__ = ["Node", "Program", "Ref", "freeze", "program_of", "quiet", "trace", "unknown_operators"]
