"""How a machine becomes a node by one line: an invitation, the script behind it, its receipt."""
