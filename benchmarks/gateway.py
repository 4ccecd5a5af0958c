"""How many signed calls a second a gateway answers on the loopback, and how long an add of 1,000 users takes.

    python -m benchmarks.gateway HOME      HOME: a merchant's home with a room, as `cleanroom demo --serve` leaves it

The server runs in a process of its own, so that two cores hold server and clients; clients sign and verify themselves.
"""

import hashlib
import json
import multiprocessing
import sys
import threading
import time
from pathlib import Path
from typing import Any

from cleanroom.gateway.apps import Apps
from cleanroom.gateway.server import Listening, Server
from cleanroom.gateway.service import Service
from cleanroom.gateway.signing import public_text
from cleanroom.home import Home
from cleanroom.node.log import Log
from cleanroom.rooms.store import Rooms
from connectors.qipan import Account, Qipan

SECONDS, CLIENTS = 5.0, 4
M = "alipay.merchant.qipan."


def _serve(path: str, ready: Any) -> None:
    with Service(Home.open(Path(path)), Log(Path("/dev/null").open("w"))) as service:
        server = Server(service, Listening(port=0))
        ready.send(server.url)
        server.run()


def rate(account: Account, method: str, content: dict[str, Any]) -> float:
    """Calls a second of CLIENTS clients."""
    counts, end = [0] * CLIENTS, time.perf_counter() + SECONDS

    def client(number: int) -> None:
        qipan = Qipan(account)
        while time.perf_counter() < end:
            qipan.call(method, content)
            counts[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return sum(counts) / SECONDS


def main(path: str) -> None:
    """Print the figures as one JSON object."""
    home = Home.open(Path(path))
    room = next(each for each in Rooms(home.rooms).every() if home.party in each.contract.owners)
    app, private = Apps(home).add(room.contract)
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(path, theirs))
    process.start()
    try:
        account = Account(ours.recv(), app.app_id, private, public_text(Apps(home).key().public_key()))
        print(json.dumps(measured(account), indent=1))
    finally:
        process.terminate()
        process.join(20)
        Apps(home).revoke(app.app_id)


def measured(account: Account) -> dict[str, float]:
    """Calls a second by method; seconds of an add of 1,000 users."""
    qipan = Qipan(account)
    tags = qipan.call(M + "turingtag.query", {})["node_list"]
    tag = next(each for each in tags if each["node_type"] in ("SINGLE_SELECT", "MULTI_SELECT"))
    value = tag["node_option_group"]["node_option_list"][0]["option_list"][0]["value"]
    chosen = {"node_code": tag["node_code"],
              "node_option_group": {"node_option_list": [{"option_value_list": [value]}]}}  # fmt: skip
    people = [[{"encrypt_identity_id": hashlib.sha256(f"{part}-{each}".encode()).hexdigest(),
                "encrypt_identity_type": "SHA256_MOBILE"} for each in range(1000)] for part in range(6)]  # fmt: skip
    code = qipan.call(M + "crowd.create", {"crowd_name": "benchmark", "user_list": people[0]})["crowd_code"]
    found = {
        "crowd.query": rate(account, M + "crowd.query", {"crowd_code": code}),
        "crowd.batchquery": rate(account, M + "crowd.batchquery", {"page_size": 20}),
        "turingtag.query": rate(account, M + "turingtag.query", {"node_code_list": [tag["node_code"]]}),
        "crowdwithturingtag.query": rate(account, M + "crowdwithturingtag.query",
                                         {"crowd_pool_list": [{"node_list": [chosen]}]}),
    }  # fmt: skip
    start = time.perf_counter()
    for some in people[1:]:
        qipan.call(M + "crowduser.add", {"crowd_code": code, "user_list": some})
    return {**{name: round(each, 1) for name, each in found.items()},
            "add of 1,000 users, seconds": round((time.perf_counter() - start) / 5, 3)}  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])
