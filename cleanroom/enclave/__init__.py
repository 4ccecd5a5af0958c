"""The enclave: a process of its own that computes over matched rows and nothing else.

It has one socket to the party that started it, and no network, no files, no other process. What goes in are the rows of
a match; what comes out are groups and group sums. `handle.start()` starts one; `Engine.run(query)` is the only question
it takes, and only SQL regenerated from that query reaches DuckDB. Thresholds, noise and receipts are not its business.
"""
