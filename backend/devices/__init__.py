"""Phones: registration, what each may hold, and the storage behind the sync protocol."""
