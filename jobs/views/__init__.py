"""The pages about work, one file per page."""
