"""Call-backs, satisfaction and complaints."""
