"""Messages to people: an outbox and the channels that empty it."""
