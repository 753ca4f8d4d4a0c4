"""Month-end: closed periods, restatements, the points ledger. Reads over what happened."""
