"""Work orders, their visits, each person's attendance, assignments, parts used, fees."""
