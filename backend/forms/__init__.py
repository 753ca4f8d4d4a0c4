"""Forms: templates, answers, what was shown and signed, the report as PDF, its seal, and the check of all that."""
