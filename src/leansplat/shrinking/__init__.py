"""`shrink`: any scene in, the file that was asked for out, with or without photos."""
