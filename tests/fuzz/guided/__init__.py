"""Long runs, started by `make fuzz` and `make fuzz-sql`; the suite runs their short forms."""
