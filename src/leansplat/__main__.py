"""`python -m leansplat`: the command line, where its script is not on the path."""

import sys

from leansplat.batch.lifeline import hold_lifeline
from leansplat.cli import main

hold_lifeline()
sys.exit(main())
