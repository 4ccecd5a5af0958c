"""Every answer that is not a success: code, sub_code and what it says in English and Chinese. Nothing of this stands
anywhere else.

The codes are those of the original (40001 missing, 40002 invalid, 40004 business, 40006 no permission, 20000
unavailable). Sub_codes `isv.…` and `isp.…` are of the envelope, words in capitals of a method. The texts name fields,
limits and positions in a list; they never hold a value that was sent.
"""

from dataclasses import dataclass

from cleanroom import lang

SUCCESS = "10000"
MISSING, INVALID, BUSINESS, FORBIDDEN, UNAVAILABLE = "40001", "40002", "40004", "40006", "20000"
MESSAGES = {
    SUCCESS: "Success",
    MISSING: "Missing Required Arguments",
    INVALID: "Invalid Arguments",
    BUSINESS: "Business Failed",
    FORBIDDEN: "Insufficient Permissions",
    UNAVAILABLE: "Service Currently Unavailable",
}
"""The `msg` of each code, as the original writes it."""


@dataclass(frozen=True)
class Sub:
    """A sub_code's code and texts, with the same {names} in both."""

    code: str
    en: str
    zh: str


class Fault(Exception):
    """A call that is answered by a sub_code of the table below. params fill its text; they are never values sent."""

    def __init__(self, sub_code: str, /, **params: object) -> None:
        super().__init__(sub_code)
        self.sub_code, self.params = sub_code, params

    @property
    def code(self) -> str:
        """The code that it belongs to."""
        return SUB_CODES[self.sub_code].code

    def text(self) -> str:
        """The sub_msg in the current language."""
        sub = SUB_CODES[self.sub_code]
        return (sub.zh if lang.current() == "zh" else sub.en).format(**self.params)

    def plain(self) -> dict[str, str]:
        """The inner object of the answer."""
        return {"code": self.code, "msg": MESSAGES[self.code], "sub_code": self.sub_code, "sub_msg": self.text()}


_ENVELOPE = {
    "isv.missing-app-id": Sub(MISSING, "app_id is missing.", "缺少 app_id。"),
    "isv.missing-method": Sub(MISSING, "method is missing.", "缺少 method。"),
    "isv.missing-signature": Sub(MISSING, "sign is missing.", "缺少 sign。"),
    "isv.missing-timestamp": Sub(MISSING, "timestamp is missing.", "缺少 timestamp。"),
    "isv.missing-parameter": Sub(MISSING, "{field} is missing.", "缺少参数 {field}。"),
    "isv.invalid-request": Sub(INVALID, "The request cannot be read: form fields in UTF-8, each once.",
                               "无法解析请求：应为 UTF-8 表单，每个参数只出现一次。"),
    "isv.request-too-large": Sub(INVALID, "The request is longer than {most} bytes.", "请求超过 {most} 字节。"),
    "isv.request-too-slow": Sub(INVALID, "The request did not arrive within {seconds} seconds.",
                                "请求未在 {seconds} 秒内到达。"),
    "isv.invalid-app-id": Sub(INVALID, "This node knows no such app_id.", "本节点没有这个 app_id。"),
    "isv.invalid-signature": Sub(INVALID, "The signature is not of these parameters by the app's key.",
                                 "签名与参数或应用公钥不符。"),
    "isv.invalid-signature-type": Sub(INVALID, "sign_type must be RSA2.", "sign_type 只能是 RSA2。"),
    "isv.invalid-timestamp": Sub(INVALID, "timestamp must be yyyy-MM-dd HH:mm:ss in the zone Asia/Shanghai.",
                                 "timestamp 应为东八区时间 yyyy-MM-dd HH:mm:ss。"),
    "isv.stale-timestamp": Sub(INVALID, "timestamp is more than {minutes} minutes from this node's clock "
                               "(zone Asia/Shanghai).", "timestamp 与本节点时钟（东八区）相差超过 {minutes} 分钟。"),
    "isv.replayed-request": Sub(INVALID, "This very request was taken before: sign it anew with a new timestamp.",
                                "该请求已被受理过：请以新的 timestamp 重新签名。"),
    "isv.invalid-method": Sub(INVALID, "There is no such method here.", "不存在的方法名。"),
    "isv.invalid-format": Sub(INVALID, "format must be JSON.", "format 只能是 JSON。"),
    "isv.invalid-charset": Sub(INVALID, "charset must be utf-8.", "charset 只能是 utf-8。"),
    "isv.invalid-version": Sub(INVALID, "version must be 1.0.", "version 只能是 1.0。"),
    "isv.invalid-encrypt": Sub(INVALID, "Encrypted content is not taken: the connection is.",
                               "不接受加密的 biz_content：由传输层加密。"),
    "isv.invalid-json": Sub(INVALID, "biz_content must be one JSON object, each key once.",
                            "biz_content 应为一个 JSON 对象，键不重复。"),
    "isv.unknown-parameter": Sub(INVALID, "{field} holds a field that this method does not have.",
                                 "{field} 中有该方法没有的字段。"),
    "isv.invalid-parameter": Sub(INVALID, "{field} is of another type or form.", "参数 {field} 的类型或格式不符。"),
    "isv.text-too-long": Sub(INVALID, "{field} is longer than {most} characters.", "{field} 超过 {most} 个字符。"),
    "isv.list-too-long": Sub(INVALID, "{field} has more than {most} entries.", "{field} 超过 {most} 项。"),
    "isv.insufficient-isv-permissions": Sub(FORBIDDEN, "Delegated tokens are not taken here: an app of its own for "
                                            "each merchant.", "不接受代授权令牌：请为每个商家使用单独的应用。"),
    "isp.busy": Sub(UNAVAILABLE, "As many calls as this node takes are under way: try again.",
                    "本节点正在处理的调用已达上限，请稍后重试。"),
    "isp.processing": Sub(UNAVAILABLE, "It is being made: the same call in a moment has the answer.",
                          "正在处理：请稍后以相同内容再次调用获取结果。"),
    "isp.unknow-error": Sub(UNAVAILABLE, "The service failed; its log says where. Try again later.",
                            "服务暂不可用，详见本节点日志，请稍后重试。"),
    "isp.peer-unavailable": Sub(UNAVAILABLE, "Another party of the room did not answer: try again later.",
                                "数据安全区的另一方未响应，请稍后重试。"),
}  # fmt: skip
_USERS = {
    "USER_LIST_TOO_LONG": Sub(BUSINESS, "user_list has more than {most} users.", "user_list 超过 {most} 个用户。"),
    "USER_LIST_EMPTY": Sub(BUSINESS, "user_list is empty.", "user_list 为空。"),
    "IDENTITY_TYPE_UNKNOWN": Sub(BUSINESS, "encrypt_identity_type must be SHA256_MOBILE, OPEN_ID, SHA256_IDFA or "
                                 "SHA256_OAID (user {number}); MD5 and plain ids are refused.",
                                 "encrypt_identity_type 只能是 SHA256_MOBILE、OPEN_ID、SHA256_IDFA 或 SHA256_OAID"
                                 "（第 {number} 个用户）；不接受 MD5 与明文。"),
    "IDENTITY_NOT_SHA256": Sub(BUSINESS, "encrypt_identity_id of user {number} is not a SHA-256 in 64 hex digits.",
                               "第 {number} 个用户的 encrypt_identity_id 不是 64 位十六进制的 SHA-256。"),
    "OPEN_ID_INVALID": Sub(BUSINESS, "The open id of user {number} is empty or masked.",
                           "第 {number} 个用户的 open id 为空或已脱敏。"),
    "ALIPAY_APP_ID_REQUIRED": Sub(BUSINESS, "OPEN_ID needs alipay_app_id (user {number}).",
                                  "OPEN_ID 需要 alipay_app_id（第 {number} 个用户）。"),
    "IDENTITY_TYPES_MIXED": Sub(BUSINESS, "All users of a crowd have one encrypt_identity_type, and open ids one "
                                "alipay_app_id (user {number}).",
                                "同一人群的用户须为同一 encrypt_identity_type，open id 须属同一 alipay_app_id"
                                "（第 {number} 个用户）。"),
    "IDENTITY_NOT_IN_ROOM": Sub(BUSINESS, "The room matches no identities of this type.",
                                "数据安全区不按此类标识碰撞。"),
    "IDENTITY_PROFILE_DIFFERS": Sub(BUSINESS, "The room writes this identity by another profile: these digests can "
                                    "never match.", "数据安全区对此类标识采用另一种规范，这些摘要不可能匹配。"),
}  # fmt: skip
_CROWDS = {
    "CROWD_NAME_TOO_LONG": Sub(BUSINESS, "crowd_name is longer than {most} characters.",
                               "crowd_name 超过 {most} 个字符。"),
    "CROWD_DESC_TOO_LONG": Sub(BUSINESS, "crowd_desc is longer than {most} characters.",
                               "crowd_desc 超过 {most} 个字符。"),
    "EXTERNAL_CODE_TOO_LONG": Sub(BUSINESS, "external_crowd_code is longer than {most} characters.",
                                  "external_crowd_code 超过 {most} 个字符。"),
    "EXTERNAL_CODE_CONFLICT": Sub(BUSINESS, "external_crowd_code was used for other content.",
                                  "external_crowd_code 已用于其他内容。"),
    "CROWD_CODE_REQUIRED": Sub(MISSING, "crowd_code or external_crowd_code is needed.",
                               "需要 crowd_code 或 external_crowd_code。"),
    "CROWD_NOT_FOUND": Sub(BUSINESS, "There is no such crowd.", "人群不存在。"),
    "CROWD_NOT_A_LIST": Sub(BUSINESS, "This crowd was not made by upload: no users are added to it or deleted.",
                            "该人群不是上传人群，不能增删用户。"),
    "CROWD_IS_A_RISK_LIST": Sub(BUSINESS, "This code is of a risk list.", "该编码属于灰黑名单。"),
    "CROWD_NOT_A_RISK_LIST": Sub(BUSINESS, "This code is of no risk list.", "该编码不属于灰黑名单。"),
    "CROWD_ARCHIVED": Sub(BUSINESS, "The crowd is archived or has expired.", "人群已归档或已过期。"),
    "CROWD_RULE_FIXED": Sub(BUSINESS, "The rule of a crowd does not change: make another crowd.",
                            "人群规则不可修改，请新建人群。"),
    "CROWD_BELOW_FLOOR": Sub(BUSINESS, "The crowd is smaller than may be addressed; its size is not told.",
                             "人群低于可投放的最小规模，规模不予显示。"),
    "CHANNEL_UNKNOWN": Sub(BUSINESS, "A channel of apply_channel_list, or export_channel_type, does not exist.",
                           "apply_channel_list 或 export_channel_type 中有不存在的渠道。"),
    "CHANNEL_NOT_ALLOWED": Sub(BUSINESS, "The channel is not on the crowd's apply_channel_list or in the contract.",
                               "渠道不在人群的 apply_channel_list 或合约之内。"),
    "OPERATION_UNKNOWN": Sub(BUSINESS, "{field} must be one of: {allowed}.", "{field} 只能是：{allowed}。"),
    "POOL_EMPTY": Sub(BUSINESS, "Pool {number} holds no node.", "第 {number} 个人群池没有节点。"),
    "POOL_LIST_EMPTY": Sub(BUSINESS, "There is no pool, no tag and no crowd in it.", "没有任何人群池、标签或人群。"),
    "POOL_CROWDS_TOO_FEW": Sub(BUSINESS, "A pool combines at least {least} crowds.", "人群池至少组合 {least} 个人群。"),
    "RULE_MEANS_NOBODY": Sub(BUSINESS, "The conditions exclude each other.", "条件互相排斥，没有人满足。"),
    "RULE_TOO_LONG": Sub(BUSINESS, "The rule has too many alternatives: use fewer conditions.",
                         "规则的组合过多，请减少条件。"),
    "TAG_UNKNOWN": Sub(BUSINESS, "There is no such tag (condition {number}).", "标签不存在（第 {number} 个条件）。"),
    "TAG_OPTION_UNKNOWN": Sub(BUSINESS, "The tag has no such option (condition {number}).",
                              "标签没有该选项（第 {number} 个条件）。"),
    "TAG_OPTION_MISSING": Sub(BUSINESS, "No option of the tag is chosen (condition {number}).",
                              "未选择标签的选项（第 {number} 个条件）。"),
    "TAG_ONE_OPTION": Sub(BUSINESS, "A tag of type SINGLE_SELECT takes one option (condition {number}).",
                          "SINGLE_SELECT 标签只能选一个选项（第 {number} 个条件）。"),
    "TAG_RANGE_INVALID": Sub(BUSINESS, "A range is two of the tag's edges, low and high, either may be empty "
                             "(condition {number}).",
                             "范围应为标签的两个边界，先低后高，可留空其一（第 {number} 个条件）。"),
    "SEED_TOO_SMALL": Sub(BUSINESS, "The seed crowd is too small; its size is not told.",
                          "种子人群规模不足，规模不予显示。"),
    "SPREAD_COUNT_OUT_OF_RANGE": Sub(BUSINESS, "spread_count must be from {least} to {most}.",
                                     "spread_count 应在 {least} 到 {most} 之间。"),
    "OUT_BIZ_NO_CONFLICT": Sub(BUSINESS, "out_biz_no was used for another export.", "out_biz_no 已用于其他导出。"),
    "TASK_NOT_FOUND": Sub(BUSINESS, "There is no export of this out_biz_no.", "没有该 out_biz_no 的导出任务。"),
    "PAGE_NUMBER_OUT_OF_RANGE": Sub(BUSINESS, "page_number must be from 1 to {most}.",
                                    "page_number 应在 1 到 {most} 之间。"),
    "PAGE_SIZE_OUT_OF_RANGE": Sub(BUSINESS, "page_size must be from 1 to {most}.", "page_size 应在 1 到 {most} 之间。"),
}  # fmt: skip
_INSIGHT = {
    "REPORT_DATE_INVALID": Sub(BUSINESS, "report_date must be a day as yyyyMMdd.",
                               "report_date 应为 yyyyMMdd 格式的日期。"),
    "REPORT_DATE_IN_FUTURE": Sub(BUSINESS, "Reports are of yesterday and before.", "报表日期最晚为昨日（T-1）。"),
    "REPORT_NOT_READY": Sub(BUSINESS, "There is no report of this day or before.", "该日及之前没有可用的报表。"),
    "PORTRAIT_UNKNOWN": Sub(BUSINESS, "A portrait of portr_type_list does not exist in this room.",
                            "portr_type_list 中有该数据安全区没有的画像。"),
    "RELATION_UNKNOWN": Sub(BUSINESS, "There is no such relation_type in this room.",
                            "该数据安全区没有此 relation_type。"),
    "PLACES_NOT_IN_ROOM": Sub(BUSINESS, "The room has no columns province and city.",
                              "该数据安全区没有 province 与 city 列。"),
    "CROWD_NOT_IN_PLAN": Sub(BUSINESS, "No plan tells of this crowd: it stands on an uploaded list, or on columns that "
                             "the plan does not have. Ask for its size by a refresh.",
                             "该人群无法由规划立方读出：含上传名单，或用到立方之外的列。可通过刷新获知其规模范围。"),
    "SCENE_UNKNOWN": Sub(BUSINESS, "scene_code must be one of: {allowed}.", "scene_code 只能是：{allowed}。"),
    "OWNER_PID_OTHER": Sub(FORBIDDEN, "owner_pid is not of this app's merchant.", "owner_pid 不是该应用所属的商家。"),
    "PARAM_UNKNOWN": Sub(BUSINESS, "param_list has a key that this scene does not have, or one twice.",
                         "param_list 中有该场景没有的键，或键重复。"),
    "RISK_TAG_UNKNOWN": Sub(BUSINESS, "Tags of a risk list are FRAUD, DISPUTE, OVERDUE, OTHER.",
                            "灰黑名单的标签只能是 FRAUD、DISPUTE、OVERDUE、OTHER。"),
    "RISK_TIME_INVALID": Sub(BUSINESS, "storage_time of user {number} is no time as yyyy-MM-dd HH:mm:ss.",
                             "第 {number} 个用户的 storage_time 不是 yyyy-MM-dd HH:mm:ss。"),
    "RISK_IDENTITY_MISSING": Sub(BUSINESS, "User {number} of a risk list needs encrypt_mobile_id; other identities are "
                                 "not matched.",
                                 "灰黑名单第 {number} 个用户需要 encrypt_mobile_id；其他标识不参与碰撞。"),
    "ENCRYPT_TYPE_UNKNOWN": Sub(BUSINESS, "encrypt_type must be SHA256 (user {number}).",
                                "encrypt_type 只能是 SHA256（第 {number} 个用户）。"),
    "ACTIVATION_NOT_IN_CONTRACT": Sub(FORBIDDEN, "The contract of this room allows no activation.",
                                      "该数据安全区的合约不允许投放人群。"),
    "BUDGET_SPENT": Sub(BUSINESS, "The privacy budget of this month does not suffice.", "本月隐私预算不足。"),
    "WAITS_FOR_APPROVAL": Sub(BUSINESS, "A person of a party has to say yes first.", "需等待一方人员批准。"),
    "ROOM_REFUSES": Sub(BUSINESS, "The room refuses this: {reason}", "数据安全区拒绝：{reason}"),
}  # fmt: skip
SUB_CODES: dict[str, Sub] = {**_ENVELOPE, **_USERS, **_CROWDS, **_INSIGHT}
"""All of them, in the order of the documents."""
