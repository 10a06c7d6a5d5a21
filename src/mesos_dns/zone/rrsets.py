"""Record sets as the zone keeps them. Pure: types only."""

#: Rdata of one type at one owner, no repetitions.
Rdatas = tuple[bytes, ...]
#: The record sets of one owner, as (type, rdata) pairs in ascending type. Immutable, and shared
#: between owners with the same single address: that of an agent serves hundreds of names.
Node = tuple[tuple[int, Rdatas], ...]
#: Owner names in wire form and lower case, each once.
Owners = tuple[bytes, ...]
