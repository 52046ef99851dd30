"""`python -m leansplat`: the command line, where its script is not on the path."""

import sys

from leansplat.cli import main
from leansplat.lifeline import hold_lifeline

hold_lifeline()
sys.exit(main())
