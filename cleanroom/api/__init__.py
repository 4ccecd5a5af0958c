"""For notebooks and scripts: rooms, datasets, crowds and releases as objects that show themselves.

    import cleanroom as cr

    room = cr.Room.open("~/merchant", "market")
    room.price("SELECT level, COUNT(*) FROM matched GROUP BY level")     # what it would cost; nothing is asked
    answer = room.query("SELECT level, COUNT(*) FROM matched GROUP BY level")
    answer.table, answer.df(), answer.within, answer.receipt, answer.chart()

It calls what the commands call and decides nothing itself: checks, prices, noise and receipts are those of the room.
Whatever is read from a plan, a board or an earlier answer is free; what is charged says so, and `price` says so before.
Errors are `cleanroom.errors` (UsageError, Refused and the gate's QueryRefused, BadData, Interrupted) and InputError for
files; none holds a value of the data. Nothing is drawn or printed by itself, and no page loads anything from elsewhere.
"""

from cleanroom.api.accounts import Budget, Ledger
from cleanroom.api.campaigns import Campaign
from cleanroom.api.contracts import Contract
from cleanroom.api.crowds import Crowd
from cleanroom.api.datasets import Dataset, Funnel
from cleanroom.api.figures import Chart, Figures
from cleanroom.api.insight import Diagnosis, Page, Portrait
from cleanroom.api.overlapping import Overlap
from cleanroom.api.releases import Answers, Priced, Receipt, Release
from cleanroom.api.rooms import Room
from cleanroom.crowds.rule import Other, Pool, Rule, Tags, Uploaded
from cleanroom.lang import choose as language

__all__ = [
    "Answers", "Budget", "Campaign", "Chart", "Contract", "Crowd", "Dataset", "Diagnosis", "Figures", "Funnel",
    "Ledger", "Other", "Overlap", "Page", "Pool", "Portrait", "Priced", "Receipt", "Release", "Room", "Rule", "Tags",
    "Uploaded", "language",
]  # fmt: skip
