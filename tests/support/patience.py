"""How long a test waits for what is sure to come: long enough for a machine that does much else meanwhile."""

PATIENCE = 300.0
