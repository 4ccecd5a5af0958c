"""`phe` over the work that ours does: microseconds an operation, one core; runs in a venv of its own.

usage: phe_paillier.py BITS COUNT
"""

import json
import sys
import time

from phe import paillier

bits, count = map(int, sys.argv[1:])
public, private = paillier.generate_paillier_keypair(n_length=bits)


def timed(work) -> tuple[float, list]:
    start = time.perf_counter()
    done = [work(number) for number in range(count)]
    return (time.perf_counter() - start) / count * 1e6, done


encryption, numbers = timed(public.encrypt)
addition, _ = timed(lambda number: numbers[number] + numbers[0])
decryption, opened = timed(lambda number: private.decrypt(numbers[number]))
assert opened == list(range(count))
sys.stdout.write(json.dumps({"owner encryption": encryption, "group sum": addition, "decryption": decryption}) + "\n")
