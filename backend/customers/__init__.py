"""Customers and the people there."""
