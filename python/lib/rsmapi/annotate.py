"""What a program tells the race detector of ``rsm-ctl run --race`` that it cannot see.

Where something orders two nodes beside the RSMAPI, such as a file, a socket or a service that both ask, each says so with the
same token, any number of 64 bits:

    DONE = 17

    # One node has put something, and closed the barrier:
    rsmapi.annotate.happens_before(DONE)
    tell_the_service()

    # And another one:
    ask_the_service()
    rsmapi.annotate.happens_after(DONE)

Where races are not looked for they do nothing.
"""

from ._native import benign, happens_after, happens_before

__all__ = ["benign", "happens_after", "happens_before"]
