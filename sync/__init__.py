"""Moving facts between phones and the server: pure rules, and two services (`pull`, `push`) over any store."""
