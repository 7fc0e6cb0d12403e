"""Let `python -m convatlas` be the command line."""

import sys

from convatlas.cli import main

sys.exit(main())
