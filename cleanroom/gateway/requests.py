"""The content of each method as a frozen request: what may stand in biz_content, by type and bound, and no more.

`parse` of a request reads `Fields` and never looks at the room: whether a code or a tag exists is for the handlers.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from cleanroom.gateway import words
from cleanroom.gateway.codes import Fault
from cleanroom.gateway.fields import Fields
from cleanroom.gateway.users import RiskUser, User, check_risk_tags


@dataclass(frozen=True)
class Nothing:
    """A method without content."""

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "Nothing":
        """Of nothing."""
        return cls()


@dataclass(frozen=True)
class CrowdCreate:
    """crowd.create: an uploaded list."""

    name: str
    description: str
    external: str
    channels: tuple[str, ...]
    hidden: bool
    users: tuple[User, ...]

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "CrowdCreate":
        """Of the fields."""
        return cls(fields.name(), fields.description(), _external(fields), fields.channels(),
                   bool(fields.flag("hidden")), _users(fields, need=False))  # fmt: skip


@dataclass(frozen=True)
class CrowdUsers:
    """crowduser.add and crowduser.delete."""

    code: str
    users: tuple[User, ...]

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "CrowdUsers":
        """Of the fields."""
        return cls(fields.code(), _users(fields, need=True))


@dataclass(frozen=True)
class CrowdModify:
    """crowd.modify. channels: None where they stay as they are."""

    code: str
    name: str
    channels: tuple[str, ...] | None

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "CrowdModify":
        """Of the fields."""
        code, name = fields.code(), fields.name(need=False)
        given = fields.take("apply_channel_list") is not None
        channels = fields.channels()
        if not name and not given:
            raise Fault("isv.missing-parameter", field="crowd_name")
        return cls(code, name, channels if given else None)


@dataclass(frozen=True)
class CrowdQuery:
    """crowd.query: one of the two codes."""

    code: str
    external: str

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "CrowdQuery":
        """Of the fields."""
        found = cls(fields.code(need=False), _external(fields))
        if not found.code and not found.external:
            raise Fault("CROWD_CODE_REQUIRED")
        return found


@dataclass(frozen=True)
class CrowdBatchQuery:
    """crowd.batchquery."""

    name: str
    page: int
    size: int

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "CrowdBatchQuery":
        """Of the fields."""
        found = cls(fields.name(need=False), fields.whole("page_number", default=1),
                    fields.whole("page_size", default=words.PAGE_SIZE))  # fmt: skip
        if not 1 <= found.page <= words.MOST_PAGE:
            raise Fault("PAGE_NUMBER_OUT_OF_RANGE", most=words.MOST_PAGE)
        if not 1 <= found.size <= words.MOST_PAGE_SIZE:
            raise Fault("PAGE_SIZE_OUT_OF_RANGE", most=words.MOST_PAGE_SIZE)
        return found


@dataclass(frozen=True)
class CrowdPool:
    """crowdpool.create: crowds taken together."""

    name: str
    codes: tuple[str, ...]
    operation: str
    channels: tuple[str, ...]

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "CrowdPool":
        """Of the fields."""
        codes = tuple(dict.fromkeys(fields.texts("crowd_code_list", words.MOST_CROWDS, words.MOST_CODE)))
        found = cls(fields.name(), codes, fields.word("operation_type", words.OPERATIONS), fields.channels())
        if not codes:
            raise Fault("POOL_LIST_EMPTY")
        if len(codes) < words.LEAST_CROWDS:
            raise Fault("POOL_CROWDS_TOO_FEW", least=words.LEAST_CROWDS)
        return found


@dataclass(frozen=True)
class CrowdSpread:
    """crowd.spread: lookalike."""

    name: str
    seed: str
    count: int
    include_seed: bool
    channels: tuple[str, ...]

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "CrowdSpread":
        """Of the fields."""
        found = cls(fields.name(), fields.code("seed_crowd_code"), fields.whole("spread_count"),
                    bool(fields.flag("is_include_seed")), fields.channels())  # fmt: skip
        if not words.LEAST_SPREAD <= found.count <= words.MOST_SPREAD:
            raise Fault("SPREAD_COUNT_OUT_OF_RANGE", least=words.LEAST_SPREAD, most=words.MOST_SPREAD)
        return found


@dataclass(frozen=True)
class ExportCreate:
    """crowdexport.create."""

    code: str
    channel: str
    number: str

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "ExportCreate":
        """Of the fields."""
        code, channels = fields.code(), fields.channels("export_channel_type")
        if len(channels) != 1:
            raise Fault("isv.missing-parameter", field="export_channel_type")
        return cls(code, channels[0], fields.code("out_biz_no"))


@dataclass(frozen=True)
class ExportQuery:
    """crowdexport.query."""

    number: str

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "ExportQuery":
        """Of the fields."""
        return cls(fields.code("out_biz_no"))


@dataclass(frozen=True)
class NodeQuery:
    """turingtag.query. codes: of nodes; () for all."""

    codes: tuple[str, ...]

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "NodeQuery":
        """Of the fields."""
        return cls(fields.texts("node_code_list", words.MOST_NODE_CODES, words.MOST_CODE * 2))


@dataclass(frozen=True)
class InsightQuery:
    """insight.query and insightcity.query (without portraits). relation: "" for everybody."""

    crowd: str
    portraits: tuple[str, ...]
    relation: str
    day: dt.date

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "InsightQuery":
        """insight.query."""
        return cls(fields.code("crowd_id", need=False), fields.texts("portr_type_list", words.MOST_PORTRAITS),
                   fields.text("relation_type", words.MOST_CODE), fields.day("report_date", yesterday))  # fmt: skip

    @classmethod
    def city(cls, fields: Fields, yesterday: dt.date) -> "InsightQuery":
        """insightcity.query."""
        return cls(fields.code("crowd_id", need=False), (), fields.text("relation_type", words.MOST_CODE),
                   fields.day("report_date", yesterday))  # fmt: skip


@dataclass(frozen=True)
class CommonInsight:
    """commoninsight.query. params: of the scene, by key."""

    pid: str
    scene: str
    day: dt.date
    params: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "CommonInsight":
        """Of the fields."""
        scene = fields.text("scene_code", words.MOST_CODE, need=True).upper()
        if scene not in words.SCENES:
            raise Fault("SCENE_UNKNOWN", allowed=", ".join(words.SCENES))
        params = fields.entries("param_list", _param, words.MOST_PARAMS)
        if len({key for key, _ in params}) != len(params):
            raise Fault("PARAM_UNKNOWN")
        return cls(fields.text("owner_pid", words.MOST_CODE), scene, fields.day("report_date", yesterday), params)


@dataclass(frozen=True)
class RiskCreate:
    """greyblackcrowd.create."""

    name: str
    description: str
    external: str
    tags: tuple[str, ...]
    users: tuple[RiskUser, ...]

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "RiskCreate":
        """Of the fields."""
        tags = check_risk_tags(fields.texts("tags", len(words.RISK_TAGS)))
        return cls(fields.name(), fields.description(), _external(fields), tags, _risk_users(fields, need=False))


@dataclass(frozen=True)
class RiskUsers:
    """greyblackcrowduser.add and .delete."""

    code: str
    users: tuple[RiskUser, ...]

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "RiskUsers":
        """Of the fields."""
        return cls(fields.code(), _risk_users(fields, need=True))


@dataclass(frozen=True)
class TagQuery:
    """tag.query."""

    code: str

    @classmethod
    def parse(cls, fields: Fields, yesterday: dt.date) -> "TagQuery":
        """Of the fields."""
        return cls(fields.text("tag_code", words.MOST_CODE * 2, need=True))


def _external(fields: Fields) -> str:
    return fields.text("external_crowd_code", words.MOST_CODE, too_long="EXTERNAL_CODE_TOO_LONG")


def _users(fields: Fields, *, need: bool) -> tuple[User, ...]:
    found = fields.entries("user_list", User.read, words.MOST_USERS, too_long="USER_LIST_TOO_LONG")
    if need and not found:
        raise Fault("USER_LIST_EMPTY")
    return found


def _risk_users(fields: Fields, *, need: bool) -> tuple[RiskUser, ...]:
    found = fields.entries("user_list", RiskUser.read, words.MOST_USERS, too_long="USER_LIST_TOO_LONG")
    if need and not found:
        raise Fault("USER_LIST_EMPTY")
    return found


def _param(value: Any) -> tuple[str, str]:
    fields = Fields(value, "param_list")
    found = fields.text("key", words.MOST_CODE, need=True), fields.text("value", need=True)
    fields.done()
    return found
