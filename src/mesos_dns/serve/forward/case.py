"""Questions in mixed case: more that whoever forges an answer has to guess (draft-vixie-dnsext-dns0x20). Pure; randomness comes in."""

from typing import Final

#: The bit that tells the cases of a letter apart, for each octet that is one. A label's length never is: it is 63 at most, and "A" is 65.
_LETTERS: Final = bytes(0x20 if chr(octet).isascii() and chr(octet).isalpha() else 0 for octet in range(256))


def mixed(name: bytes, noise: bytes) -> bytes:
    """`name` (wire form) with each letter in the case that one bit of `noise`, of the same length, says."""
    bits = int.from_bytes(name.translate(_LETTERS))
    return (int.from_bytes(name) & ~bits | int.from_bytes(noise) & bits).to_bytes(len(name))
