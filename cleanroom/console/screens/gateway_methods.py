"""The gateway's 24 methods for people who integrate with them: what each does, its fields with their limits, and an
example. docs/gateway.md says the same in a table."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cleanroom.gateway import words
from cleanroom.gateway.methods import METHODS
from cleanroom.rooms.disclosure import Sentence

Example = Mapping[str, Any]
_CROWD = "C0123456789abcdef"
_USER = {"encrypt_identity_id": "2c1b…64 hex digits…9f", "encrypt_identity_type": "SHA256_MOBILE"}
_RISKY = {"encrypt_mobile_id": "2c1b…64 hex digits…9f", "encrypt_type": "SHA256", "user_tags": ["FRAUD"]}


@dataclass(frozen=True)
class FieldTold:
    """A field of biz_content. needed: whether the call fails without it."""

    name: str
    needed: bool
    limit: Sentence


@dataclass(frozen=True)
class MethodTold:
    """what: what it does here; answer: the fields of a success; changes: whether the same bytes are taken once."""

    name: str
    what: Sentence
    fields: tuple[FieldTold, ...]
    example: Example
    answer: str

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return METHODS[self.name].changes


NAME = Sentence("at most {most} characters", {"most": words.MOST_NAME})
TEXT = Sentence("at most {most} characters", {"most": words.MOST_DESC})
CODE = Sentence("a code that an earlier answer gave")
OWN = Sentence("a code of your own, at most {most} characters: the same again is the same crowd",
               {"most": words.MOST_CODE})  # fmt: skip
CHANNELS = Sentence("channels that the contract names, as coupon or DAILY_PROMOTION")
USERS = Sentence("at most {most} a call: encrypt_identity_id, encrypt_identity_type, and of an OPEN_ID alipay_app_id",
                 {"most": f"{words.MOST_USERS:,}"})  # fmt: skip
RISKY = Sentence("at most {most} a call: encrypt_mobile_id is matched, the rest is checked and not kept",
                 {"most": f"{words.MOST_USERS:,}"})  # fmt: skip
FLAG = Sentence("true or false")
DATE = Sentence("yyyyMMdd, yesterday where it is missing")
POOLS = Sentence("at most {most} pools of tags or crowds; inside UNION or INTERSECTION, between them also DIFFERENCE",
                 {"most": words.MOST_POOLS})  # fmt: skip
SELECTED = Sentence("groups of conditions: all of a group hold, groups are united")
RELATION = Sentence("a relation such as MINI_PROGRAM, or ALL")
TASK = Sentence("a number of your own: the same again is the same task")


def _fields(**named: tuple[bool, Sentence]) -> tuple[FieldTold, ...]:
    return tuple(FieldTold(name, needed, limit) for name, (needed, limit) in named.items())


_M, _K = "alipay.merchant.qipan.", "alipay.marketing.qipan."
_POOL = [{"crowd_pool_type": "TAG", "in_operation_type": "INTERSECTION", "out_operation_type": "UNION", "node_list": [
    {"node_code": "crm.level",
     "node_option_group": {"node_option_list": [{"option_value_list": ["gold"]}]}}]}]  # fmt: skip
_SELECT = [{"select_tag_values": [{"tag_id": "crm.level", "values": ["gold"]}]}]

TOLD: tuple[MethodTold, ...] = (
    MethodTold(_M + "crowd.create", Sentence("An uploaded list becomes a crowd. The hashes stay sealed at this node."),
               _fields(crowd_name=(True, NAME), crowd_desc=(False, TEXT), external_crowd_code=(False, OWN),
                       apply_channel_list=(False, CHANNELS), hidden=(False, FLAG), user_list=(False, USERS)),
               {"crowd_name": "gold", "external_crowd_code": "gold-11", "apply_channel_list": ["coupon"],
                "user_list": [_USER]}, "crowd_code"),
    MethodTold(_M + "crowduser.add", Sentence("Puts people into a list; one version a day is frozen. Whether somebody "
                                              "was in it is not told."),
               _fields(crowd_code=(True, CODE), user_list=(True, USERS)),
               {"crowd_code": _CROWD, "user_list": [_USER]}, "–"),
    MethodTold(_M + "crowduser.delete", Sentence("Takes people out of a list. Whether somebody was in it is not told."),
               _fields(crowd_code=(True, CODE), user_list=(True, USERS)),
               {"crowd_code": _CROWD, "user_list": [_USER]}, "–"),
    MethodTold(_M + "crowd.modify", Sentence("Changes the name or the channels. Whom a crowd means never changes."),
               _fields(crowd_code=(True, CODE), crowd_name=(False, NAME), apply_channel_list=(False, CHANNELS)),
               {"crowd_code": _CROWD, "crowd_name": "gold members"}, "–"),
    MethodTold(_M + "crowd.query", Sentence("One crowd with its status and its size as a range."),
               _fields(crowd_code=(False, CODE), external_crowd_code=(False, OWN)),
               {"external_crowd_code": "gold-11"}, "crowd_info"),
    MethodTold(_M + "crowd.batchquery", Sentence("Crowds by name, a page at a time; hidden ones are left out."),
               _fields(crowd_name=(False, NAME), page_number=(False, Sentence("from 1")),
                       page_size=(False, Sentence("1 to {most}", {"most": words.MOST_PAGE_SIZE}))),
               {"page_number": 1, "page_size": 20}, "crowd_list, total_number"),
    MethodTold(_M + "crowdpool.create", Sentence("A crowd of other crowds: united, shared, or the first without the "
                                                 "others."),
               _fields(crowd_name=(True, NAME), crowd_code_list=(True, Sentence(
                   "{least} to {most} codes", {"least": words.LEAST_CROWDS, "most": words.MOST_CROWDS})),
                   operation_type=(True, Sentence("UNION, INTERSECTION or DIFFERENCE")),
                   apply_channel_list=(False, CHANNELS)),
               {"crowd_name": "gold or new", "crowd_code_list": [_CROWD, "Cfedcba9876543210"],
                "operation_type": "UNION"}, "crowd_code"),
    MethodTold(_M + "crowd.spread", Sentence("A lookalike of a crowd. It is charged; where it takes longer than 10 s, "
                                             "call again with the same content."),
               _fields(crowd_name=(True, NAME), seed_crowd_code=(True, CODE), spread_count=(True, Sentence(
                   "{least} to {most} people", {"least": f"{words.LEAST_SPREAD:,}", "most": f"{words.MOST_SPREAD:,}"})),
                   is_include_seed=(False, FLAG), apply_channel_list=(False, CHANNELS)),
               {"crowd_name": "like gold", "seed_crowd_code": _CROWD, "spread_count": 5000}, "crowd_code"),
    MethodTold(_M + "crowdexport.create", Sentence("Gives yesterday's version of a crowd to whoever addresses people, "
                                                   "for one channel. No file is made."),
               _fields(crowd_code=(True, CODE), export_channel_type=(True, Sentence("one channel of the contract")),
                       out_biz_no=(True, TASK)),
               {"crowd_code": _CROWD, "export_channel_type": "coupon", "out_biz_no": "november-1"}, "task_no"),
    MethodTold(_M + "crowdexport.query", Sentence("How far an export is: PROCESSING, SUCCESS or FAIL."),
               _fields(out_biz_no=(True, TASK)), {"out_biz_no": "november-1"},
               "crowd_code, crowd_export_data, out_biz_no, task_no, task_status"),
    MethodTold(_M + "turingtag.query", Sentence("The room's categories and buckets as tags, but sensitive ones."),
               _fields(node_code_list=(False, Sentence("at most {most} codes; all where it is missing",
                                                       {"most": words.MOST_NODE_CODES}))),
               {"node_code_list": ["crm.level"]}, "node_list"),
    MethodTold(_M + "crowdwithturingtag.query", Sentence("The size of pools of tags or crowds, as a range: from the "
                                                         "plan for nothing, else charged."),
               _fields(crowd_pool_list=(False, POOLS), crowd_id=(False, CODE)), {"crowd_pool_list": _POOL},
               "count_range"),
    MethodTold(_M + "crowdwithturingtag.create", Sentence("A crowd of such pools. Its rule is fixed from then on."),
               _fields(crowd_pool_list=(True, POOLS), crowd_name=(True, NAME), crowd_desc=(False, TEXT),
                       apply_channel_list=(False, CHANNELS)),
               {"crowd_pool_list": _POOL, "crowd_name": "gold"}, "crowd_id"),
    MethodTold(_M + "insight.query", Sentence("The portrait of a crowd by columns; numbers carry noise, withheld ones "
                                              "have no entry."),
               _fields(crowd_id=(False, CODE), portr_type_list=(False, Sentence(
                   "at most {most} columns as dataset.column", {"most": words.MOST_PORTRAITS})),
                   relation_type=(False, RELATION), report_date=(False, DATE)),
               {"crowd_id": _CROWD, "portr_type_list": ["users.gender"]}, "portrait_data_list"),
    MethodTold(_M + "insightcity.query", Sentence("The same by province and city."),
               _fields(crowd_id=(False, CODE), relation_type=(False, RELATION), report_date=(False, DATE)),
               {"crowd_id": _CROWD}, "portrait_key, portrait_name, coverage, report_date, data_list"),
    MethodTold(_M + "commoninsight.query", Sentence("TGI against a base: of a crowd, or of everybody in the match."),
               _fields(owner_pid=(False, Sentence("your merchant id")),
                       scene_code=(True, Sentence("PRIVATE_DOMAIN or CROWD")), report_date=(False, DATE),
                       param_list=(False, Sentence("at most {most} of key and value", {"most": words.MOST_PARAMS}))),
               {"scene_code": "CROWD", "param_list": [{"key": "crowd_id", "value": _CROWD}]}, "portraits_data_tgi"),
    MethodTold(_M + "greyblackcrowd.create", Sentence("A risk list: black ones are left out of every activation."),
               _fields(crowd_name=(True, NAME), crowd_desc=(False, TEXT), external_crowd_code=(False, OWN),
                       tags=(False, Sentence("FRAUD, DISPUTE, OVERDUE or OTHER")), user_list=(False, RISKY)),
               {"crowd_name": "fraud", "tags": ["FRAUD"], "user_list": [_RISKY]}, "crowd_code"),
    MethodTold(_M + "greyblackcrowduser.add", Sentence("Puts people onto a risk list."),
               _fields(crowd_code=(True, CODE), user_list=(True, RISKY)),
               {"crowd_code": _CROWD, "user_list": [_RISKY]}, "–"),
    MethodTold(_M + "greyblackcrowduser.delete", Sentence("Takes people off a risk list."),
               _fields(crowd_code=(True, CODE), user_list=(True, RISKY)),
               {"crowd_code": _CROWD, "user_list": [_RISKY]}, "–"),
    MethodTold(_K + "tagbase.batchquery", Sentence("All tags of the room."), (), {}, "operation_tag_list"),
    MethodTold(_K + "tag.query", Sentence("One tag with its options."),
               _fields(tag_code=(True, Sentence("as dataset.column"))), {"tag_code": "crm.level"}, "operation_tag"),
    MethodTold(_K + "crowdtag.query", Sentence("The tags that crowds can be made of."), (), {}, "select_tag_list"),
    MethodTold(_K + "crowdwithtag.query", Sentence("The size of conditions on tags, as a range; count stays empty."),
               _fields(select_tag_list=(False, SELECTED), crowd_id=(False, CODE)), {"select_tag_list": _SELECT},
               "count_range"),
    MethodTold(_K + "crowdwithtag.create", Sentence("A crowd of such conditions."),
               _fields(select_tag_list=(True, SELECTED), crowd_name=(True, NAME), crowd_desc=(False, TEXT),
                       apply_channel_list=(False, CHANNELS), hidden=(False, FLAG)),
               {"select_tag_list": _SELECT, "crowd_name": "gold"}, "crowd_id"),
)  # fmt: skip
"""In the order of `gateway.methods.METHODS`."""
