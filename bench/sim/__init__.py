"""A simulated company of phones under every fault the design of sync names, replayed exactly from a seed."""
