"""The commands of the command line, one file each; torch is imported when one runs."""

import click

from errbound.commands.certify import certify
from errbound.commands.explain import explain
from errbound.commands.export import export
from errbound.commands.listings import arithmetics, formats, ops
from errbound.commands.plot import plot
from errbound.commands.report import report

COMMANDS: tuple[click.Command, ...] = (
    certify,
    explain,
    plot,
    report,
    export,
    ops,
    formats,
    arithmetics,
)
"""In the order of ``errbound --help``."""
