"""A reference client around `sync.replica`: a durable queue on sqlite3, and HTTP."""
