"""The acceptance run: a week of real outages through the whole house, with phones that lose their connection."""
