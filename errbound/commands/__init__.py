"""The commands of the command line, one file each; torch is imported when one runs."""

import click

from errbound.commands.certify import certify
from errbound.commands.export import export
from errbound.commands.listings import arithmetics, formats, ops

COMMANDS: tuple[click.Command, ...] = (certify, export, ops, formats, arithmetics)
"""In the order of ``errbound --help``."""
