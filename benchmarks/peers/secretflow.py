"""One party of SecretFlow PSI over two CSV files; runs in the venv that benchmarks.peers makes, never in ours.

usage: secretflow.py RANK RECEIVER.csv SENDER.csv KEY PROTOCOL [CURVE | unbalanced]
Started twice: RANK 0 receives. The peers' ports follow PORT of the environment.
"""

import json
import os
import sys
from pathlib import Path

import spu.psi as psi
from spu.libspu import link

rank, files, key, protocol = int(sys.argv[1]), sys.argv[2:4], sys.argv[4], sys.argv[5]
port = int(os.environ.get("PORT", "19000"))
description = link.Desc()
description.recv_timeout_ms = 1_800_000
description.add_party("receiver", f"127.0.0.1:{port}")
description.add_party("sender", f"127.0.0.1:{port + 1}")
context = link.create_brpc(description, rank)
inputs = psi.InputParams(path=files[rank], selected_keys=[key], keys_unique=True)
outputs = psi.OutputParams(path=f"{files[rank]}.{protocol}.out", disable_alignment=True)


def balanced() -> int:
    curve = psi.parse_curve_type(sys.argv[6] if len(sys.argv) > 6 else "CURVE_25519")
    chosen = psi.PsiProtocolConfig(
        protocol=psi.parse_protocol(protocol), receiver_rank=0, ecdh_params=psi.EcdhParams(curve=curve)
    )
    config = psi.PsiExecuteConfig(protocol_conf=chosen, input_params=inputs, output_params=outputs)
    return int(psi.psi_execute(config, context).intersection_count)


def unbalanced() -> int:
    """The client has few rows and receives; offline and online together."""
    role = ("ROLE_CLIENT", "ROLE_SERVER")[rank]
    config = psi.UbPsiExecuteConfig(
        mode=psi.parse_ub_psi_mode("MODE_FULL"),
        role=psi.parse_ub_psi_role(role),
        client_receive_result=True,
        cache_path=f"{files[rank]}.{rank}.cache",
        input_params=inputs,
        output_params=outputs,
    )
    if rank:
        secret = Path(f"{files[rank]}.key")
        secret.write_bytes(os.urandom(32))
        config.server_params = psi.UbPsiServerParams(secret_key_path=str(secret))
    return int(psi.ub_psi_execute(config, context).intersection_count)


matched = unbalanced() if protocol == "unbalanced" else balanced()
sys.stdout.write("\n" + json.dumps({"matched": matched}) + "\n")
sys.stdout.flush()
os._exit(0)  # the library's threads outlive main
