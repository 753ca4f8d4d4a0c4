"""Spare parts: catalogue, warehouse and van stock, movements."""
