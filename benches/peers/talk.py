"""A peer reads one JSON object a line and answers with one."""

import json
import sys
import time


def answer(value):
    print(json.dumps(value), flush=True)


def questions():
    for line in sys.stdin:
        yield json.loads(line)


def milliseconds(start):
    return (time.perf_counter() - start) * 1e3
