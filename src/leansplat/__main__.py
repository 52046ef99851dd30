"""`python -m leansplat`: the command line, where its script is not on the path."""

import os
import sys
from contextlib import suppress

from leansplat.cli import main
from leansplat.lifeline import hold_lifeline

hold_lifeline()
_peak_to = os.environ.pop("LEANSPLAT_PEAK_TO", None)  # which `leansplat.batch.piece` gives
_code = main()
if _peak_to is not None:
    from leansplat.memory import peak_memory

    with suppress(OSError):  # whoever asked may be gone
        os.write(int(_peak_to), str(peak_memory()).encode())
sys.exit(_code)
