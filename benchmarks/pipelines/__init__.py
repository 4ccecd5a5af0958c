"""Lean pipelines: one party of one protocol, from a CSV file to a CSV file of members, without vault or contract."""
