"""`python -m leansplat`: the command line, where its script is not on the path."""

import sys

from leansplat.cli import main

sys.exit(main())
