"""What the published SDK leaves open, chosen once: limits, status words, how a range is written, names of operations.

Whatever is named here stands in docs/gateway.md in the same words.
"""

from cleanroom.crowds import crowd
from cleanroom.crowds.rule import DIFFERENCE, INTERSECTION, UNION
from cleanroom.privacy.ranges import Range

MOST_USERS = 1_000
MOST_NAME = 15
MOST_DESC = 200
MOST_CODE = 64
"""Of crowd_code, external_crowd_code, out_biz_no, node and tag codes."""
MOST_CHANNELS = 20
MOST_CROWDS = 20
LEAST_CROWDS = 2
MOST_POOLS = 32
MOST_NODES = 64
MOST_OPTIONS = 256
MOST_TEXT = 256
MOST_NODE_CODES = 100
MOST_PORTRAITS = 50
MOST_PARAMS = 20
MOST_TAGS_OF_USER = 4
LEAST_SPREAD, MOST_SPREAD = 1_000, 100_000_000
MOST_PAGE, MOST_PAGE_SIZE, PAGE_SIZE = 100_000, 100, 20
TOP_TAGS = 10

OPERATIONS = {"UNION": UNION, "INTERSECTION": INTERSECTION, "DIFFERENCE": DIFFERENCE}
INSIDE = {"UNION": UNION, "INTERSECTION": INTERSECTION}
POOL_TAGS, POOL_CROWDS = "TAG", "CROWD"
"""crowd_pool_type: what the nodes of a pool are."""
SINGLE_SELECT, MULTI_SELECT = "SINGLE_SELECT", "MULTI_SELECT"
INPUT_VALUE, NUMBER_RANGE_VALUE = "INPUT_VALUE", "NUMBER_RANGE_VALUE"
RISK_TAGS = ("FRAUD", "DISPUTE", "OVERDUE", "OTHER")
ENCRYPT_TYPE = "SHA256"
ALL_RELATIONS = "ALL"
"""relation_type: everybody of the crowd, whatever ties them to the merchant."""
SCENE_BOARD, SCENE_CROWD = "PRIVATE_DOMAIN", "CROWD"
SCENES = (SCENE_BOARD, SCENE_CROWD)

STATUSES = {name: name.upper() for name in crowd.STATUSES}
"""status of a crowd: NEW (not counted yet), READY, SMALL (below the floor), EXPIRED, ARCHIVED."""
PROCESSING, SUCCESS, FAIL = "PROCESSING", "SUCCESS", "FAIL"
"""task_status of an export."""


def range_text(size: Range | None) -> str:
    """A size as crowd_size, count_range and user_count have it: "2000-4999", "<100"; "" where none was released."""
    if size is None:
        return ""
    return f"<{size.high + 1}" if size.withheld else f"{size.low}-{size.high}"
