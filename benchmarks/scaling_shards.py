"""How the index of unfinished jobs spreads over its keys: real ids, the service's own hash, second by second."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from typing import Final

PARTITION_WRITES: Final = 1000
PARTITION_READS: Final = 3000
"""Units a second that DynamoDB gives one key, whatever the table has."""
WRITES_OF_A_STATUS: Final = 2
"""A job comes into each status' part of the index and leaves it again."""


def limit(shards: int) -> float:
    """Return how many jobs a second the busiest keys bear when they share evenly."""
    return shards * PARTITION_WRITES / WRITES_OF_A_STATUS


def busiest(shards: int, jobs_per_second: int, seconds: int, seed: int = 1) -> int:
    """Return the most writes that one key of one status has in any second."""
    chance = random.Random(seed)
    most = 0
    for second in range(seconds):
        ids = (
            f"job_{1_795_000_000_000 + second * 1000:012x}{chance.getrandbits(64):016x}" for _ in range(jobs_per_second)
        )
        keys = Counter(zlib.crc32(job_id.encode()) % shards for job_id in ids)
        most = max(most, WRITES_OF_A_STATUS * max(keys.values()))
    return most
