"""The command line. Torch and the rest of errbound are imported when a command runs.

Exit status: 0 done; 1 ``--fail-under`` not met; 2 a usage or input error; 3 an observed value
outside its enclosure; 4 an internal error; 130 interrupted.
"""

from __future__ import annotations

import io
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence

import click

from errbound.commands import COMMANDS
from errbound.commands._common import INTERRUPTED, Interrupted, complain
from errbound.errors import ErrboundError, InputError
from errbound.options import LateVersion


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.option("--version", cls=LateVersion, help="Show the version and exit.")
def cli() -> None:
    """Certify, per sample, that a 16-bit network answers as its 32-bit original.

    \b
    Examples:
      errbound certify model.pt --data mnist
      errbound certify weights.pth --arch nets.py:Net --data cifar10
      errbound export weights.pth --arch nets.py:Net --data mnist -o model.pt
      errbound ops --for model.pt
    """


for _command in COMMANDS:
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status. Errors are one line on standard error."""
    args = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    before = signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return int(cli.main(args, prog_name="errbound", standalone_mode=False, obj=args) or 0)
    except click.Abort:
        return complain("interrupted", INTERRUPTED)
    except click.ClickException as error:
        return complain(f"error: {error.format_message()}", InputError.status)
    except Interrupted as error:
        return complain(str(error), error.status)
    except ErrboundError as error:
        return complain(f"error: {error}", error.status)
    except Exception as error:
        return complain(_internal(error), ErrboundError.status)
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _internal(error: Exception) -> str:
    with tempfile.NamedTemporaryFile(
        "w", prefix="errbound-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        traceback.print_exception(error, file=file)
    return (
        f"internal error: {type(error).__name__}: {error} - please report it with the traceback "
        f"in {file.name}"
    )
