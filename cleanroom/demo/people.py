"""Made-up people: phone numbers that no subscriber has, and attributes drawn from stated shares.

Every draw comes from a seed, so that the same call gives the same people on every machine. No real identity may come
in here: numbers are computed from a running index and use prefixes that are given to no carrier's subscribers.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Ints = NDArray[np.int64]
SEED = 19970101
PREFIXES = (154, 160, 163, 164, 168, 169)
"""Ranges not given out in mainland China (libphonenumber knows no valid mobile in them); they fit ^1[3-9]\\d{9}$."""
_FACTOR, _SHIFT, _NUMBERS = 48_271_817, 12_345_671, 10**8

CITIES: tuple[tuple[str, str, str, float], ...] = (
    ("上海", "上海", "一线", 0.14),
    ("北京", "北京", "一线", 0.12),
    ("深圳", "广东", "一线", 0.09),
    ("广州", "广东", "一线", 0.09),
    ("杭州", "浙江", "新一线", 0.09),
    ("成都", "四川", "新一线", 0.09),
    ("武汉", "湖北", "新一线", 0.07),
    ("苏州", "江苏", "新一线", 0.07),
    ("西安", "陕西", "新一线", 0.06),
    ("合肥", "安徽", "二线", 0.05),
    ("昆明", "云南", "二线", 0.04),
    ("绍兴", "浙江", "二线", 0.04),
    ("洛阳", "河南", "三线及以下", 0.03),
    ("绵阳", "四川", "三线及以下", 0.02),
)
"""(city, province, tier, share of people)."""
GENDERS = (("女", 0.52), ("男", 0.43), ("未知", 0.05))
AGE_BANDS = (("18-24", 0.18), ("25-29", 0.22), ("30-34", 0.21), ("35-39", 0.16), ("40-49", 0.15), ("50+", 0.08))
SYSTEMS = (("Android", 0.52), ("iOS", 0.34), ("HarmonyOS", 0.14))
TIERS = (("大众", 0.55), ("黄金", 0.28), ("铂金", 0.13), ("钻石", 0.04))
CHANNELS = (("门店", 0.35), ("小程序", 0.3), ("生活号", 0.15), ("官网", 0.1), ("导购", 0.1))
LEVELS = ((0, "普卡"), (50_000, "银卡"), (150_000, "金卡"), (500_000, "钻石"))
"""(least spend in cents, member level)."""


def random(stream: str) -> np.random.Generator:
    """The generator of one named stream; streams do not disturb each other."""
    return np.random.default_rng([SEED, *stream.encode()])


def phones(people: Ints) -> pa.StringArray:
    """The phone number of each person by running index (below 10^8): different people have different numbers."""
    prefix = np.array(PREFIXES, np.int64)[people % len(PREFIXES)]
    return pc.cast(pa.array(prefix * _NUMBERS + (people * _FACTOR + _SHIFT) % _NUMBERS), pa.string())


def draw(stream: np.random.Generator, shares: tuple[tuple[str, float], ...], count: int) -> pa.DictionaryArray:
    """`count` names by their shares."""
    return named(stream.choice(len(shares), count, p=[share for _, share in shares]), [name for name, _ in shares])


def named(codes: NDArray[np.integer], names: list[str]) -> pa.DictionaryArray:
    """Codes as a column of names."""
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(names))


def levels(spend: Ints) -> pa.DictionaryArray:
    """The member level of each spend in cents."""
    edges = [least for least, _ in LEVELS[1:]]
    return named(np.digitize(spend, edges), [name for _, name in LEVELS])
