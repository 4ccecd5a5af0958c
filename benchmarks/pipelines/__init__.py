"""Lean pipelines: one party of one protocol, from a CSV file to a CSV file of members, without vault or contract."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as for the product's own parties (`cleanroom.node.local`)
