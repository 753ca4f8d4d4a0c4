"""Real processes under real faults: servers and a database that are killed, phones on bad lines, and a reckoning."""
