"""What headers, presets, contents and owners' files say of columns."""

import tomllib
from importlib import resources
from pathlib import Path

import pyarrow as pa
import pytest
from conformance import MARK, refusal
from hypothesis import given
from hypothesis import strategies as st

from connectors.errors import InputError
from connectors.headers import KINDS, canonical_kinds, normal, recognise, vocabulary
from connectors.mapping import (
    IDENTITIES,
    ColumnRole,
    Mapping,
    identity_column,
    load_mapping,
    presets,
    propose,
)
from connectors.open import open_source


def proposed(columns: dict[str, list[object]], overrides: Mapping | None = None) -> Mapping:
    sample = pa.RecordBatch.from_pydict({name: pa.array(values) for name, values in columns.items()})
    return propose(sample.schema, sample, overrides)


def headers(*names: str) -> Mapping:
    return proposed({name: ["x", "y"] for name in names})


@pytest.mark.parametrize(
    ("header", "name", "kind"),
    [
        ("手机号", "phone", "identity"),
        ("手机", "phone", "identity"),
        ("手机号码", "phone", "identity"),
        ("联系电话", "phone", "identity"),
        ("会员手机", "phone", "identity"),
        ("客户手机号", "phone", "identity"),
        (" Mobile Phone ", "phone", "identity"),
        ("PHONE_NUMBER", "phone", "identity"),
        ("tel.", "phone", "identity"),
        ("cellphone", "phone", "identity"),
        ("手机号(必填)", "phone", "identity"),
        ("*手机号", "phone", "identity"),
        ("邮箱", "email", "identity"),
        ("E-mail Address", "email", "identity"),
        ("OpenID", "openid", "identity"),
        ("OAID", "device", "identity"),
        ("会员等级", "level", "category"),
        ("等级", "level", "category"),
        ("Tier", "level", "category"),
        ("累计消费", "spend", "amount"),
        ("消费金额(元)", "spend", "amount"),
        ("消费金额(元)", "spend", "amount"),
        ("实付金额", "spend", "amount"),
        ("Total Spent", "spend", "amount"),
        ("amount", "spend", "amount"),
        ("城市", "city", "category"),
        ("省份", "province", "category"),
        ("性别", "gender", "category"),
        ("Gender", "gender", "category"),
        ("生日", "birthday", "date"),
        ("最近消费时间", "last_order", "date"),
        ("Last Order Date", "last_order", "date"),
        ("注册时间", "registered", "date"),
        ("created_at", "registered", "date"),
        ("订单号", "order_id", "handle"),
        ("会员ID", "member_id", "handle"),
        ("备注", "note", "handle"),
        ("是否同意营销", "consent", "consent"),
        ("Accepts Marketing", "consent", "consent"),
        ("身份证号", "id_number", "ignore"),
    ],
)
def test_headers_are_recognised(header: str, name: str, kind: str) -> None:
    (role,) = headers(header).columns
    assert (role.header, role.name, role.kind, role.why) == (header, name, kind, "header")


def test_the_vocabulary_is_sound() -> None:
    text = resources.files("connectors").joinpath("headers.toml").read_text("utf-8")
    entries = {name: entry for name, entry in tomllib.loads(text).items() if name != "version"}
    listed = [header for entry in entries.values() for header in set(map(normal, entry["headers"]))]
    assert sorted(listed) == sorted(set(listed)), "a header has two meanings"
    assert set(canonical_kinds().values()) <= set(KINDS)
    assert {name for name, kind in canonical_kinds().items() if kind == "identity"} == set(IDENTITIES)
    assert all(recognise(name) == (name, kind) for name, kind in canonical_kinds().items())
    assert vocabulary()


@given(st.sampled_from(["手机号", "total spent", "City"]), st.sampled_from(["", " ", "*", "_", ":", "(元)", "(必填)"]))
def test_case_spaces_and_units_do_not_matter(header: str, sign: str) -> None:
    assert recognise(f"{sign}{header.upper()}{sign}") == recognise(header)


@pytest.mark.parametrize(
    ("values", "kind", "name"),
    [
        (["13800138000", "+86 139 0013 8000", "139-0013-8000", None], "identity", "phone"),
        ([13800138000, 13900138000], "identity", "phone"),
        (["138****1234", "139****5678"], "identity", "phone"),
        (["a@example.com", "B.c@Example.org", "x@y.cn"], "identity", "email"),
        (["o6_bmjrPTlm6_2sgVt7hMZOPfL2M", "oABCDEFGHIJKLMNOPQRSTUVWXYZ1"], "identity", "openid"),
        (["¥12.50", "1.2万", "3元"], "amount", None),
        ([1.5, 2.25], "amount", None),
        (["12", "7", "12", "9", "8", "3"] * 30 + [str(n) for n in range(60)], "bucket", None),
        (["甲", "乙", "甲", "甲"], "category", None),
        ([1, 2, 1, 1], "category", None),
        ([True, False], "category", None),
        (["2024-01-02", "2024/3/4", "2024年5月6日"], "date", None),
        (["20240001", "20240002", "20240003"], "handle", None),
        ([f"free text {n}" for n in range(9)], "handle", None),
        ([None, None], "handle", None),
    ],
)
def test_content_tells_where_the_header_does_not(values: list[object], kind: str, name: str | None) -> None:
    (role,) = proposed({"Qx 7": values}).columns
    assert (role.kind, role.name, role.why) == (kind, name or "qx_7", "content")


def test_find_by_name_header_and_nearest() -> None:
    mapping = headers("手机号", "累计消费", "实付金额", "City", "奇怪的列")
    assert mapping.find("phone").header == "手机号" == mapping.find("手机号").header
    assert mapping.find("CITY").header == "City"
    assert mapping.find("奇怪的列").name == "奇怪的列"
    assert [role.name for role in mapping.of_kind("amount")] == ["累计消费", "实付金额"]
    assert mapping.find("实付金额").kind == "amount"
    assert "累计消费, 实付金额" in str(refusal(lambda: mapping.find("spend")))
    assert "city" in str(refusal(lambda: mapping.find("citi")))


def test_the_identity_column() -> None:
    mapping = headers("手机号", "email", "城市")
    assert identity_column(mapping, "phone").header == "手机号"
    assert identity_column(mapping, "Email").header == "email"
    assert identity_column(mapping, "手机号").name == "phone"
    assert "城市" in str(refusal(lambda: identity_column(mapping, "device")))
    refusal(lambda: identity_column(mapping, "城市"))


def test_two_candidates_are_both_named() -> None:
    mapping = headers("买家手机", "收货人手机")
    error = refusal(lambda: identity_column(mapping, "phone"))
    assert "买家手机, 收货人手机" in str(error) and "--on 买家手机" in str(error)
    assert identity_column(mapping, "收货人手机").name == "phone"
    by_content = proposed({"a": ["13800138000"], "b": ["13900138000"]})
    assert "a, b" in str(refusal(lambda: identity_column(by_content, "phone")))


def test_a_header_goes_before_content() -> None:
    mapping = proposed({"紧急联系": ["13800138000"], "手机号": ["13900138000"]})
    assert [role.why for role in mapping.columns] == ["content", "header"]
    assert identity_column(mapping, "phone").header == "手机号"


def test_presets_are_recognised_by_their_samples() -> None:
    assert {mapping.preset for mapping in presets()} == {"youzan", "weimob", "shopify", "hubspot", "salesforce"}
    folder = resources.files("connectors").joinpath("presets")
    for preset in presets():
        assert "synthetic" in folder.joinpath(f"{preset.preset}.toml").read_text("utf-8")
        source = open_source(str(folder.joinpath(f"{preset.preset}.csv")))
        mapping = propose(source.schema, next(iter(source.batches())).table)
        assert mapping.preset == preset.preset
        assert [(role.header, role.name, role.kind) for role in mapping.columns] == [
            (role.header, role.name, role.kind) for role in preset.columns
        ]
        assert {role.why for role in mapping.columns} == {"preset"}
        assert identity_column(mapping, "phone")
        assert len({role.name for role in mapping.columns}) == len(mapping.columns)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "map.toml"
    path.write_text(text, "utf-8")
    return path


def test_an_owners_file_goes_first(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        'version = 1\n[columns]\n"会员手机" = { name = "phone", kind = "identity" }\n'
        '"手机号" = { name = "shop_phone", kind = "ignore" }\n"X" = { kind = "bucket" }\n"y" = { name = "city" }\n',
    )
    mapping = proposed({name: ["1", "2"] for name in ("会员手机", "手机号", "x", "y", "z")}, load_mapping(path))
    assert [(role.header, role.name, role.kind, role.why) for role in mapping.columns][:4] == [
        ("会员手机", "phone", "identity", "override"),
        ("手机号", "shop_phone", "ignore", "override"),
        ("x", "x", "bucket", "override"),
        ("y", "city", "category", "override"),
    ]
    assert identity_column(mapping, "phone").header == "会员手机"
    with pytest.raises(InputError) as caught:
        proposed({"手机": ["1"], "x": ["1"], "y": ["1"], "手机号": ["1"]}, load_mapping(path))
    assert caught.value.params["column"] == "会员手机"


def test_a_mapping_survives_its_own_file(tmp_path: Path) -> None:
    mapping = headers("手机号", 'quo"te\\', "a = {b}", "城市")
    again = load_mapping(written(tmp_path, mapping.to_toml()))
    assert [(r.header, r.name, r.kind) for r in again.columns] == [(r.header, r.name, r.kind) for r in mapping.columns]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[columns]", "None"),
        ("version = 2\n[columns]", "2"),
        ('version = 1\ncolour = "x"\n[columns]', "colour"),
        ('version = 1\ncolumns = "x"', "columns"),
        ('version = 1\n[columns]\n"a" = { nam = "x" }', "nam"),
        ('version = 1\n[columns]\n"a" = { kind = "secret" }', "secret"),
        ('version = 1\n[columns]\n"a" = { name = "foo", kind = "identity" }', "foo"),
        ('version = 1\n[columns]\n"a" = "phone"', "a"),
        ('version = 1\n[columns]\n"a" = {}', "a"),
        ("version = 1\n手机 = {}", "map.toml"),
    ],
)
def test_files_that_are_not_understood(tmp_path: Path, text: str, named: str) -> None:
    assert named in str(refusal(lambda: load_mapping(written(tmp_path, text))))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    refusal(lambda: load_mapping(tmp_path / "absent.toml"))
    (tmp_path / "latin.toml").write_bytes(b"version = 1 # \xff")
    refusal(lambda: load_mapping(tmp_path / "latin.toml"))


def test_a_role_of_an_unknown_kind_cannot_be_made() -> None:
    with pytest.raises(InputError, match="unknown kind"):
        ColumnRole("a", "a", "secret")  # type: ignore[arg-type]


def test_no_value_stands_in_a_mapping_or_its_errors() -> None:
    mapping = proposed({"q": [MARK, MARK], "r": ["13912345678", "13912345678"]})
    assert MARK not in repr(mapping) and "13912345678" not in repr(mapping)
    refusal(lambda: mapping.find("nowhere"))
