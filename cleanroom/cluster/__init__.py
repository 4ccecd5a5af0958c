"""Beyond one machine: what knows of Apache Spark, and nothing of contracts, release or receipts.

Spark schedules, moves and counts; our own programs read and write encrypted parts inside its tasks. Executors get keys
as `executor_keys.SealedKey` and in no other way: what Spark itself sees (closures, plans, logs, event files) holds
wrapped keys only. Spark is the extra `open-cleanroom[spark]`: nothing else imports this package at its start.
"""
