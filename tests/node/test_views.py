import pandas as pd
from tests.node.views import Data
ROWS, COMMON, BLOCK = 300, 240, 60
LOW = 50_000_000.00


def phones(start: int, first: int, count: int) -> list[str]:
    return [str(first + start + 7919 * n) for n in range(count)]


def merchant(people: list[str], labels: tuple[str, str], turn: int) -> pd.DataFrame:
    """turn: 0 or 1, who of two neighbours has which level; what each spends follows the level."""
    return pd.DataFrame({
        "phone": people, "level": [labels[(n + turn) % 2] for n in range(ROWS)],
        "spend": [f"{61_234_567 + 1_013 * ((n ^ turn) % BLOCK)}.{10 + (n ^ turn) % BLOCK}" for n in range(ROWS)],
    })  # fmt: skip


def platform(shared: list[str], own: list[str], labels: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame({"phone": [*shared, *own], "city": [labels[n // (2 * BLOCK) % 2] for n in range(ROWS)]})


PEOPLE, STRANGERS = phones(1, 13_900_000_000, ROWS), phones(3, 15_000_000_000, BLOCK)
A = merchant(PEOPLE, ("gold", "silver"), 0)
C = platform(PEOPLE[:COMMON], STRANGERS, ("Shanghai", "Hangzhou"))
B = merchant(PEOPLE[:COMMON] + phones(800_001, 13_900_000_000, BLOCK), ("jade", "tinned"), 1)
D = platform(PEOPLE[BLOCK:], phones(900_001, 15_000_000_000, BLOCK), ("Shenyang", "Changsha"))
WORLDS = {"first": Data(A, C, "Shanghai"), "merchant": Data(A, D, "Shenyang"), "platform": Data(B, C, "Shanghai")}
