"""The only code beside node/ that imports dispy."""
