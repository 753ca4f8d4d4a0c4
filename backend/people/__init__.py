"""People: units, employees, roles, crews, skills, shifts, absences, territories, duty roster, vehicles, devices.

Sign-in.
"""
