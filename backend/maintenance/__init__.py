"""Periodic care: maintenance plans raise work orders; the ledger says what was due, done or missed."""
