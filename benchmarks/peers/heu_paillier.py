"""HEU's ZPaillier over the work that ours does: microseconds an operation, one core; runs in a venv of its own.

usage: heu_paillier.py BITS COUNT
"""

import json
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"

from heu import phe

bits, count = map(int, sys.argv[1:])
kit = phe.setup(phe.SchemaType.ZPaillier, bits)
encryptor, evaluator, decryptor = kit.encryptor(), kit.evaluator(), kit.decryptor()


def timed(work) -> tuple[float, list]:
    start = time.perf_counter()
    done = [work(number) for number in range(count)]
    return (time.perf_counter() - start) / count * 1e6, done


encryption, numbers = timed(encryptor.encrypt_raw)
addition, _ = timed(lambda number: evaluator.add(numbers[number], numbers[0]))
decryption, opened = timed(lambda number: int(str(decryptor.decrypt_raw(numbers[number]))))
assert opened == list(range(count))
sys.stdout.write(json.dumps({"owner encryption": encryption, "group sum": addition, "decryption": decryption}) + "\n")
