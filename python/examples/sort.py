"""Numbers that are sorted by all nodes together: each node has some of them at first, and a range of them in the end.

    python -m rsmapi.run -n 4 examples/sort.py

Every node sorts its own numbers and gives node 1 a few of them as samples. Node 1 chooses by these where the ranges begin, and
tells everybody; each number goes to the node of its range. No node has to look for others, and none waits for ever when one dies:
the team names it.
"""

import bisect
import heapq
import random
import sys
from array import array

import rsmapi

NUMBERS = 5000  # of each node at first
SAMPLES = 16  # of each node


def main() -> None:
    with rsmapi.Team.join() as team:
        rank, size = team.rank, team.size
        draw = random.Random(rank)
        own = sorted(draw.randrange(1 << 40) for _ in range(NUMBERS))

        samples = team.gather(0, array("q", own[:: NUMBERS // SAMPLES]))
        # Where the ranges of the ranks 1, 2 .. begin.
        starts = array("q", [0] * (size - 1))
        if samples is not None:
            known = sorted(number for some in samples for number in some)
            starts = array("q", (known[len(known) * k // size] for k in range(1, size)))
        team.broadcast(0, starts)

        cuts = [0, *(bisect.bisect_left(own, start) for start in starts), NUMBERS]
        parts = team.all_to_all([array("q", own[cuts[k] : cuts[k + 1]]) for k in range(size)])
        mine = array("q", heapq.merge(*parts))

        # That the ranges follow each other, each node learns from the one before.
        if rank + 1 < size:
            team.send(rank + 1, array("q", mine[-1:]))
        before = array("q", team.receive(rank - 1)) if rank > 0 else array("q")
        in_order = all(a <= b for a, b in zip([*before, *mine], mine[1:] if not before else mine))
        # Nothing is lost: as many numbers as before, and the same sum.
        same = team.all_reduce(array("q", [len(mine) - NUMBERS, sum(mine) - sum(own)]))
        if not in_order or list(same) != [0, 0]:
            sys.exit(f"node {rank + 1}: the numbers are not sorted")
        print(f"node {rank + 1}: {len(mine)} of {size * NUMBERS} numbers")


if __name__ == "__main__":
    main()
