"""Identity profiles against published examples, against a judge in plain Python, and on what exports really contain."""

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import InputError
from connectors.identity import DEFAULT_PROFILE, Loss, Repair, profile, shapes
from connectors.identity.digests import written
from connectors.identity.profiles import Normalised
from connectors.identity.vectors import VECTORS

PUBLISHED = json.loads((Path(__file__).parents[1] / "vectors" / "identity_vectors.json").read_text("utf-8"))
# The file names pages, we name profiles. Google's pages differ among themselves: "customer match" says that removing
# Gmail's dots is not required (its own examples have none to remove), "data manager" removes them and all white space
# (its examples have white space only around the address). identity.md settles on dots and suffix removed, and trimming.
OURS = {
    "uid2": "uid2/1",
    "google_data_manager": "google-customer-match/1",
    "google_enhanced_conversions": "google-customer-match/1",
    "google_customer_match": "google-customer-match/1",
    "meta_capi": "meta/1",
}


def sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def one(name: str, raw: object, **options: str) -> Normalised:
    kind = options.pop("kind", None)
    return profile(name, kind).normalise(pa.array([raw]), **options)


def reason(name: str, raw: object, **options: str) -> str | None:
    return one(name, raw, **options).reason[0].as_py()


@pytest.mark.parametrize("row", PUBLISHED["vectors"], ids=lambda row: f"{row['profile']}-{row['raw']}")
def test_published_vectors(row: dict[str, str]) -> None:
    used = profile(OURS[row["profile"]], row["kind"])
    country = row.get("default_country", "CN")
    digest = used.normalise(pa.array([row["raw"]]), country=country).digest[0].as_py()
    assert used.canonical(pa.array([row["raw"]]), country=country).texts[0].as_py() == row["normalised"]
    assert digest.hex() == row["sha256_hex"]
    if "sha256_b64" in row:
        assert written(digest, used.written) == row["sha256_b64"]


def test_every_published_vector_is_here() -> None:
    assert len(PUBLISHED["vectors"]) == 45


def test_published_negative_and_excluded() -> None:
    (negative,) = PUBLISHED["negative"]
    assert one("uid2/1", negative["raw"]).digest[0].as_py().hex() != negative["sha256_hex"]
    (excluded,) = PUBLISHED["excluded"]  # printed with two digits exchanged: ours follows the digits
    texts = profile("uid2/1", "phone").canonical(pa.array([excluded["raw"]]), country="SG").texts
    assert texts[0].as_py() != excluded["printed_normalised"]


@pytest.mark.parametrize("name", VECTORS)
def test_own_vectors(name: str) -> None:
    for kind, raw, country, scope, wanted in VECTORS[name]:
        used = profile(name, kind)
        result = used.normalise(pa.array([raw]), country=country, scope=scope)
        if wanted.startswith("lost: "):
            assert result.reason[0].as_py() == wanted.removeprefix("lost: "), raw
            assert not result.digest[0].is_valid
        else:
            assert result.digest[0].as_py() == sha256(wanted), raw
            assert not result.reason[0].is_valid


def test_digest_tells_profiles_apart_and_stays() -> None:
    digests = {name: profile(name).digest() for name in VECTORS}
    assert len(set(digests.values())) == len(VECTORS)  # cn-mobile/1 and qipan/1 too: the name is in it
    assert profile("meta/1", "phone").digest() == digests["meta/1"]
    assert digests["cn-mobile/1"].startswith("96978e987379b8ce")  # a change is another version of the profile


def test_default_profiles_exist_for_each_kind() -> None:
    assert all(kind in profile(name).kinds for kind, name in DEFAULT_PROFILE.items())


LOST = {
    "": Loss.MISSING,
    " \t ": Loss.MISSING,
    "NULL": Loss.MISSING,
    "无": Loss.MISSING,
    "138****1234": Loss.MASKED,
    "138＊＊＊＊1234": Loss.MASKED,
    "138XXXX1234": Loss.MASKED,
    "1.38E+10": Loss.ROUNDED,
    "1.380013e+10": Loss.ROUNDED,
    "1.38001380001E+10": Loss.ROUNDED,
    "13800138000/13900139000": Loss.SEVERAL,
    "13800138000、13900139000": Loss.SEVERAL,
    "13800138000 13900139000": Loss.SEVERAL,
    "13800138000转8": Loss.OTHER_CHARACTERS,
    "1380013800x": Loss.OTHER_CHARACTERS,
    "138O0138000": Loss.OTHER_CHARACTERS,
    "张三": Loss.OTHER_CHARACTERS,
    "+85251234567": Loss.NOT_MAINLAND,
    "001 650 555 1212": Loss.NOT_MAINLAND,
    "010-88888888": Loss.LANDLINE,
    "0755-1234567": Loss.LANDLINE,
    "+86 10 8888 8888": Loss.LANDLINE,
    "400-810-1234": Loss.LANDLINE,
    "013800138000": Loss.LEADING_ZERO,
    "1380013800": Loss.TOO_FEW_DIGITS,
    "10086": Loss.TOO_FEW_DIGITS,
    "1380013800.0": Loss.TOO_FEW_DIGITS,
    "138001380001": Loss.TOO_MANY_DIGITS,
    "12800138000": Loss.NOT_A_MOBILE,
    "23800138000": Loss.NOT_A_MOBILE,
}


@pytest.mark.parametrize(("raw", "name"), LOST.items())
def test_losses_of_mobiles_have_names(raw: str, name: Loss) -> None:
    assert reason("cn-mobile/1", raw) == name


REPAIRED = {
    "13800138000.0": Repair.DECIMAL,
    "13800138000.00": Repair.DECIMAL,
    "8613800138000.0": Repair.DECIMAL,
    "1.3800138000E+10": Repair.SCIENTIFIC,
    "1.38001380000E10": Repair.SCIENTIFIC,
    "１３８００１３８０００": Repair.FULL_WIDTH,
    "（１３８）００１３８０００": Repair.FULL_WIDTH,
    "+86 138 0013 8000": Repair.COUNTRY_CODE,
    "86-13800138000": Repair.COUNTRY_CODE,
    "(+86)13800138000": Repair.COUNTRY_CODE,
    "\t13800138000": Repair.SEPARATORS,
    "138.0013.8000": Repair.SEPARATORS,
    "1380013.8000": Repair.SEPARATORS,
    "\u202d13800138000\u202c": Repair.SEPARATORS,
    "138\u00a00013\u30008000": Repair.FULL_WIDTH,
}


@pytest.mark.parametrize(("raw", "name"), REPAIRED.items())
def test_repairs_of_mobiles_have_names(raw: str, name: Repair) -> None:
    result = one("cn-mobile/1", raw)
    assert result.digest[0].as_py() == sha256("13800138000")
    assert result.repaired[0].as_py() == name


def judge(raw: str) -> str | None:
    """The rule of cn-mobile/1 in plain Python, for texts without spreadsheets' marks."""
    half = "".join(chr(ord(sign) - 0xFEE0) if 0xFF01 <= ord(sign) <= 0xFF5E else sign for sign in raw)
    bare = "".join(sign for sign in half if sign not in "-(). \t\u3000\u200b\u200c\u200d\ufeff")
    for prefix in ("+86", "0086", "86"):
        if bare.startswith(prefix) and len(bare) == len(prefix) + 11:
            bare = bare[len(prefix) :]
            break
    good = len(bare) == 11 and bare.isascii() and bare.isdigit() and bare[0] == "1" and bare[1] in "3456789"
    return bare if good else None


numbers = st.tuples(
    st.sampled_from(["", "+86", "0086", "86", "＋８６", "+1", "0"]),
    st.text("-() \u200b\u3000", max_size=2),
    st.text("0123456789", min_size=9, max_size=12),
).map(lambda parts: parts[0] + parts[1] + "1" + parts[2][:4] + parts[1] + parts[2][4:])
texts = st.lists(
    st.one_of(numbers, st.text("0123456789+-() １３８\u200b张a*", max_size=16), st.text(max_size=8)), max_size=30
)


@given(texts)
@settings(max_examples=25, deadline=None)
def test_mobiles_as_the_judge_says(raws: list[str]) -> None:
    found = profile("cn-mobile/1").canonical(pa.array(raws, pa.string())).texts.to_pylist()
    assert found == [judge(raw) or "" for raw in raws]


@given(texts, st.sampled_from(sorted(VECTORS)))
@settings(max_examples=25, deadline=None)
def test_each_row_has_a_digest_or_a_reason_and_does_not_depend_on_its_neighbours(raws: list[str], name: str) -> None:
    used = profile(name)
    column = pa.array([None, *raws], pa.string())
    result = used.normalise(column, form="raw", scope="")
    middle = len(column) // 2
    halves = [used.normalise(part, form="raw") for part in (column[:middle], column[middle:])]
    assert result.digest.to_pylist() == [one for half in halves for one in half.digest.to_pylist()]
    assert result.reason.to_pylist() == [one for half in halves for one in half.reason.to_pylist()]
    for digest, why, repair in zip(result.digest, result.reason, result.repaired, strict=True):
        assert digest.is_valid != why.is_valid
        assert not (repair.is_valid and why.is_valid)


@given(st.lists(st.integers(13_000_000_000, 19_999_999_999), min_size=1, max_size=50), st.integers(0, 20))
@settings(max_examples=30, deadline=None)
def test_ways_to_hold_the_same_numbers(raws: list[int], cut: int) -> None:
    used = profile("cn-mobile/1")
    wanted = [sha256(str(raw)) for raw in raws][cut:]
    strings = pa.array(list(map(str, raws)))
    forms = [
        strings,
        strings.dictionary_encode(),
        strings.cast(pa.large_string()),
        pa.array(raws),
        pa.array(raws, pa.float64()),
        pa.array(raws).cast(pa.decimal128(20, 0)),
        pa.chunked_array([strings[: cut + 3], strings[cut + 3 :]]),
    ]
    for column in forms:
        assert used.normalise(column[cut:]).digest.to_pylist() == wanted
    if wanted:
        floats = used.normalise(pa.array(raws, pa.float64())).repaired
        assert set(floats.to_pylist()) == {Repair.DECIMAL}


def test_a_narrow_float_has_lost_digits() -> None:
    assert reason("cn-mobile/1", None) == Loss.MISSING
    column = pa.array([13_800_138_000.0], pa.float32())
    assert profile("cn-mobile/1").normalise(column).reason.to_pylist() == [Loss.ROUNDED]


def test_a_column_that_is_no_text_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be read as text"):
        profile("cn-mobile/1").normalise(pa.array([[1]]))


def test_many_rows_across_slices_keep_their_order() -> None:
    raws = [f"1{3_000_000_000 + n}" if n % 7 else "x" for n in range(300_000)]
    result = profile("cn-mobile/1").normalise(pa.array(raws))
    assert result.reason.null_count == 300_000 - len(range(0, 300_000, 7))
    for row in (1, 131_071, 131_073, 262_145, 299_999):
        assert result.digest[row].as_py() == (sha256(raws[row]) if row % 7 else None)


def test_e164_agrees_with_the_library_on_ordinary_mobiles() -> None:
    raws = ["13800138000", "+8613800138000", "138 0013 8000", "8613800138000", "010-88888888"]
    result = profile("e164/1").normalise(pa.array(raws))
    assert result.digest.to_pylist() == [sha256("+8613800138000")] * 4 + [sha256("+861088888888")]
    losses = ["138****1234", "", "1.38E+10", "12", "abc", "+999123456789", "+1 650 555 12121"]
    assert [reason("e164/1", raw) for raw in losses] == [
        *(Loss.MASKED, Loss.MISSING, Loss.ROUNDED, Loss.TOO_FEW_DIGITS, Loss.OTHER_CHARACTERS, Loss.NO_COUNTRY),
        Loss.TOO_MANY_DIGITS,
    ]
    assert reason("e164/1", "+1 555 555 0100") == Loss.NOT_ASSIGNED
    with pytest.raises(InputError, match="is not a country"):
        one("e164/1", "13800138000", country="XX")


def test_emails_lost() -> None:
    lost = {
        "": Loss.MISSING,
        "N/A": Loss.MISSING,
        "ann.example.com": Loss.NOT_AN_EMAIL,
        "ann@localhost": Loss.NOT_AN_EMAIL,
        "a b@example.com": Loss.NOT_AN_EMAIL,
        "ann@example..com": Loss.NOT_AN_EMAIL,
        "ann\u200b@example.com": Loss.NOT_AN_EMAIL,
        "a**n@example.com": Loss.MASKED,
        "ann@example.com; bob@example.com": Loss.SEVERAL,
        "+x@gmail.com": Loss.NOT_AN_EMAIL,
        "a" * 250 + "@example.com": Loss.NOT_AN_EMAIL,
    }
    assert {raw: reason("google-customer-match/1", raw) for raw in lost} == lost


def test_openid_is_opaque_and_scoped_without_ambiguity() -> None:
    hexadecimal = "0123456789abcdef0123456789abcdef"
    assert one("openid/1", hexadecimal, scope="wx1").digest[0].as_py() == sha256("3:wx1" + hexadecimal)
    assert one("openid/1", "2abc", scope="wx1").digest != one("openid/1", "abc", scope="wx12").digest
    assert one("openid/1", "oAb", scope="x").digest != one("openid/1", "oaB", scope="x").digest
    assert reason("openid/1", "o6_b****xyz") == Loss.MASKED


def test_device_ids() -> None:
    assert reason("device/1", "0") == Loss.ZERO_ID
    assert reason("device/1", "unknown") == Loss.MISSING
    assert reason("device/1", "short") == Loss.NOT_A_DEVICE
    with pytest.raises(InputError, match="cannot write ids"):
        one("device/1", "x", scope="title")


def hashes(count: int, algorithm: str = "sha256") -> list[str]:
    return [hashlib.new(algorithm, str(n).encode()).hexdigest() for n in range(count)]


@pytest.mark.parametrize(("algorithm", "width"), [("sha256", 32), ("md5", 16)])
def test_hashed_columns_are_never_hashed_again(algorithm: str, width: int) -> None:
    column = [text.upper() if n % 2 else f" {text} " for n, text in enumerate(hashes(20, algorithm))]
    result = profile("cn-mobile/1").normalise(pa.array([*column, "13800138000", "", None]))
    assert result.form == algorithm
    assert result.digest.type == pa.binary(width)
    assert [one.as_py().hex() for one in result.digest[:20]] == hashes(20, algorithm)
    assert result.reason.to_pylist()[20:] == [Loss.RAW_AMONG_HASHED, Loss.MISSING, Loss.MISSING]
    assert result.repaired.to_pylist()[:2] == [Repair.SEPARATORS, None]


def test_the_minority_of_a_mixed_column_is_lost_by_name() -> None:
    used = profile("meta/1")
    many, few = hashes(6), hashes(3, "md5")
    assert used.normalise(pa.array([*many, *few])).reason.to_pylist() == [None] * 6 + [Loss.MD5_AMONG_SHA256] * 3
    assert used.normalise(pa.array([*many[:2], *few])).reason.to_pylist() == [Loss.SHA256_AMONG_MD5] * 2 + [None] * 3
    raw = [f"a{n}@example.com" for n in range(4)]
    assert used.normalise(pa.array([*raw, *few])).reason.to_pylist() == [None] * 4 + [Loss.HASHED_AMONG_RAW] * 3


def test_the_hash_of_nothing_is_refused() -> None:
    nothing = [hashlib.sha256(text).hexdigest() for text in (b"", b"00000000-0000-0000-0000-000000000000")]
    result = profile("device/1").normalise(pa.array([*hashes(3), *nothing]))
    assert result.reason.to_pylist() == [None] * 3 + [Loss.HASH_OF_NOTHING] * 2


def test_uid2_column_hashed_as_base64() -> None:
    column = [base64.b64encode(bytes.fromhex(text)).decode() for text in hashes(5)]
    result = profile("uid2/1").normalise(pa.array(column))
    assert [one.as_py().hex() for one in result.digest] == hashes(5)
    assert profile("meta/1").normalise(pa.array(column)).form == "raw"


def test_unknown_names_are_refused_with_what_is_known() -> None:
    with pytest.raises(InputError, match="no identity profile cn-mobile/2"):
        profile("cn-mobile/2")
    with pytest.raises(InputError, match="does not say how email is written"):
        profile("cn-mobile/1", "email")


def test_shapes_hold_no_value() -> None:
    column = ["13800138000"] * 3 + ["138****1234", "1.38E+10", "ann@example.com", "", "张三", *hashes(2), "x" * 90]
    found = shapes(pa.array(column))
    assert found["11 digits"] == 3
    assert found["3 digits + **** + 4 digits"] == 1
    assert found["64 hex"] == 2
    assert sum(found.values()) == len(column) - 1
    assert not any("ann" in shape or "13800138000" in shape or "张" in shape for shape in found)


@given(st.lists(st.text(max_size=20), max_size=20))
@settings(max_examples=25, deadline=None)
def test_shapes_count_every_text_once(column: list[str]) -> None:
    assert sum(shapes(pa.array(column, pa.string())).values()) == sum(text != "" for text in column)


def test_nothing_here_loads_pandas_or_the_phone_library() -> None:
    code = """
import sys
from connectors.arrays import words
from connectors.identity import profile
column = words(["13800138000", "+86 138 0013 8000", "138****1234", "", "１３８００１３８０００"])
profile("cn-mobile/1").normalise(column), profile("cn-mobile/1").digest()
import pyarrow as pa
from connectors.importing import Importer, ImportSpec
from connectors.mapping import ColumnRole, Mapping
from connectors.memory import ArrowSource
roles = [("phone", "identity"), ("spend", "amount"), ("level", "category"), ("day", "date"), ("yes", "consent")]
table = pa.Table.from_arrays([column] * 5, names=[name for name, _ in roles])
mapping = Mapping(tuple(ColumnRole(name, name, kind) for name, kind in roles))
spec = ImportSpec(mapping, "phone", "cn-mobile/1", ("spend", "level", "day"), "last", "day", "yes")
importer = Importer(ArrowSource("t", table), spec)
list(importer.batches()), importer.funnel()
sys.exit(bool({"pandas", "phonenumbers"} & sys.modules.keys()))
"""
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
