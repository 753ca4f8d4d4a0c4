"""Backups: everything the office has in one verified file, and back again."""
