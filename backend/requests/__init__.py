"""Service requests (报修, Cases): intake, owner trail, classification, clocks, escalation."""
