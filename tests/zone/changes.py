"""Changes of zones in few words."""


def edit(owner, rrtype, removed, added):
    """One owner that loses and gains rdata of one type."""
    return ((owner,), ((rrtype, removed),) if removed else (), ((rrtype, added),) if added else ())
