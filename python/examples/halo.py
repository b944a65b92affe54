"""A ring of nodes that smooth a field together: each owns a part, and has a row of each neighbour's beside it.

    python -m rsmapi.run -n 4 examples/halo.py

What one node alone would compute comes out, whatever the number of nodes. Each step, a node puts its outermost values into
its neighbours' segments, closes the barrier, and signals; and it ends by waiting until nobody needs its memory any more.
"""

import struct
import sys

import rsmapi

CELLS = 32  # of each node
STEPS = 50
SEGMENT = 0x400000
LEFT, RIGHT = 0, 1  # sides

# One segment for each side, so that each has signals of its own: two values, for even and odd steps. A neighbour may be a
# step ahead, and no more: it needs ours of this step for its next.
VALUE = struct.Struct("=d")


def start(cell: int) -> float:
    return float(cell * cell % 17)


def step(left: float, cells: list, right: float) -> list:
    row = [left, *cells, right]
    return [(row[i - 1] + 2 * row[i] + row[i + 1]) / 4 for i in range(1, len(row) - 1)]


def alone(count: int) -> list:
    """What the field is in the end, computed without anybody else."""
    cells = [start(cell) for cell in range(count)]
    for _ in range(STEPS):
        cells = step(cells[-1], cells, cells[0])
    return cells


def main() -> None:
    controller = rsmapi.Controller()
    node, count = controller.node.id, controller.node.node_count
    # What neighbours put: from the left neighbour, from the right one.
    mine = [controller.export(65536) for _ in (LEFT, RIGHT)]
    for side, export in enumerate(mine):
        export.publish(SEGMENT + side)
    halos = [memoryview(export).cast("d") for export in mine]
    left, right = (node - 2) % count + 1, node % count + 1
    # Our leftmost value is the right halo of the left neighbour.
    to_left = controller.connect(left, SEGMENT + RIGHT, within=20)
    to_right = controller.connect(right, SEGMENT + LEFT, within=20)
    for import_ in (to_left, to_right):
        import_.mode = "explicit"

    cells = [start((node - 1) * CELLS + cell) for cell in range(CELLS)]
    for number in range(STEPS):
        slot = number % 2
        for import_, value in ((to_left, cells[0]), (to_right, cells[-1])):
            with import_.barrier():
                import_.put(slot * VALUE.size, VALUE.pack(value))
            import_.signal()
        for export in mine:
            export.wait(timeout=20)
        cells = step(halos[LEFT][slot], cells, halos[RIGHT][slot])

    expected = alone(count * CELLS)[(node - 1) * CELLS : node * CELLS]
    if cells != expected:
        sys.exit(f"node {node}: not what one node alone computes")
    # Neighbours may still be at their last step: they let go of our memory when they have what they need of it.
    to_left.disconnect()
    to_right.disconnect()
    for export in mine:
        try:
            export.wait_while_imported(timeout=20)
        except rsmapi.SegNotConnected:
            pass
    print(f"node {node}: {CELLS} cells after {STEPS} steps, sum {sum(cells):.6f}")


if __name__ == "__main__":
    main()
