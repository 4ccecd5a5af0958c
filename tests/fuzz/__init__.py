"""Fuzzing: whatever bytes or SQL come in, out comes a value or a named error, and nothing of a cell's value."""
