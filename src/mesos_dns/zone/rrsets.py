"""Record sets as the zone keeps them. Pure: types only."""

#: Rdata of one type at one owner, no repetitions.
RdataSet = tuple[bytes, ...]
#: The record sets of one owner, as (type, rdata) pairs in ascending type. Immutable, and shared
#: between owners with the same single address: that of an agent serves hundreds of names.
RRsets = tuple[tuple[int, RdataSet], ...]
#: Owner names in wire form and lower case, each once.
Owners = tuple[bytes, ...]
