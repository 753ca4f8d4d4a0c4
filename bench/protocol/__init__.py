"""Makes the examples and tables of docs/reference/sync-protocol.md: `python -m bench.protocol` writes them."""
