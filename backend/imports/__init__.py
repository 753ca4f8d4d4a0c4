"""Imports from CSV and XLSX: mapped, checked, idempotent, and undone as a batch."""
