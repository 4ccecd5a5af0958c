"""How commands speak: language, help, errors, progress and tables. Computes nothing, decides nothing."""
