"""Dispatching: plans made in the background, published as assignments, and the board's reads."""
