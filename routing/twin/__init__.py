"""The digital twin: weeks of field service lived through event by event, to compare ways of dispatching.

The same random world (calls, durations, no-shows, traffic, breakdowns) happens to every policy; what a policy decides
changes who goes where and when, never what happens to whom. Pure: no clock, no file, no database.
"""
