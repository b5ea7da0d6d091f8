"""Files are proved one after the other, and what is not held is told of all of them at once."""

from collections.abc import Callable, Mapping

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
