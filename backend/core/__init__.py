"""What every capability stands on, with no business words: database, commit clock, events, tasks, errors, sign-in."""
