"""Files: stored once under their sha256, attached to any record."""
