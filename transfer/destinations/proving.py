"""What every kind of archive does to prove files: one after the other, and in the last resort by their own bytes."""

from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256

from transfer.destinations import Body, Proof
from transfer.destinations.errors import NotHeld


def prove_each(files: Mapping[str, Body], prove: Callable[[str, Body], Proof]) -> dict[str, Proof]:
    """Return the proof of every file, or say of all at once which are not held.

    Raises:
        NotHeld: with the names of all that are not held.
    """
    proofs, wrong = {}, {}
    for name, body in files.items():
        try:
            proofs[name] = prove(name, body)
        except NotHeld as error:
            wrong[name] = str(error)
    if wrong:
        more = f" So it is with {len(wrong) - 1} more." if len(wrong) > 1 else ""
        raise NotHeld(next(iter(wrong.values())) + more, names=wrong)
    return proofs


def read_back(name: str, body: Body, blocks: Iterator[bytes]) -> Proof:
    """Hash what the archive gives back.

    Raises:
        NotHeld: these are other bytes.
    """
    digest = sha256()
    for block in blocks:
        digest.update(block)
    if digest.hexdigest() != body.sha256:
        raise NotHeld(f"The archive gives back other bytes for {name}; it is sent again.")
    return Proof(digest=f"sha256:{body.sha256}", how="read back from the archive and hashed")
