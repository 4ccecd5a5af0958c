"""OpenMined PSI (P-256) over two CSV files, both parties in one process; runs in a venv of its own.

usage: openmined.py RECEIVER.csv SENDER.csv
"""

import json
import sys
from pathlib import Path

import private_set_intersection.python as psi

receiver, sender = (Path(name).read_text("utf-8").split()[1:] for name in sys.argv[1:3])
client, server = psi.client.CreateWithNewKey(True), psi.server.CreateWithNewKey(True)
setup = server.CreateSetupMessage(1e-12, len(receiver), sender, psi.DataStructure.RAW)
request = client.CreateRequest(receiver)
response = server.ProcessRequest(request)
found = client.GetIntersection(setup, response)
wire = sum(len(message.SerializeToString()) for message in (setup, request, response))
sys.stdout.write(json.dumps({"matched": len(found), "sent": wire}) + "\n")
