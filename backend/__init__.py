"""Paigong's business: customers, jobs, people and plans. See docs/architecture.md for the order of the capabilities."""
