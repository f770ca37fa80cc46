"""``python -m errbound``."""

import sys

from errbound.cli import main

sys.exit(main())
