"""Sites, the positions on their layouts, the assets standing there, documents and credentials."""
