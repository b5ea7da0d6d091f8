"""What can go wrong at a destination; the class says who acts next and whether everything there waits."""

from collections.abc import Iterable

from kspace.errors import DestinationError, Retry


class DestinationDown(DestinationError):
    """It does not answer, or says that it cannot now: everything for it waits, and goes on by itself."""

    code = "destination_down"
    pauses = True


class Full(DestinationError):
    """It has no room left: everything for it waits until somebody makes some."""

    code = "destination_full"
    pauses = True


class FullOrTooLarge(Full):
    """It has no room left, or takes no body of this size, and says the same of both."""

    code = "full_or_too_large"
    may_be_its_own = True


class Unauthorized(DestinationError):
    """It refuses the relay's credentials: everything waits, since more tries would lock the account."""

    code = "unauthorized"
    pauses = True
    pause_s = 900.0  # XNAT locks an account after 20 failures in an hour (SiteConfigPreferences)


class Forbidden(DestinationError):
    """The relay's account may not do this there: what goes to the same project waits until it may."""

    code = "forbidden"
    pauses = True
    of_project = True


class Missing(DestinationError):
    """There is no such project, session or scan."""

    code = "missing"
    retry = Retry.PERSON


class Refused(DestinationError):
    """It understood and said no."""

    code = "refused"
    retry = Retry.PERSON


class TooLarge(Refused):
    """It takes no body of this size, and may take a smaller one."""

    code = "too_large"


class NotTaken(DestinationError):
    """Its importer failed, for whatever reason: it says the same of a full disk, a lock and a broken image."""

    code = "not_taken"


class NotHeld(DestinationError):
    """It does not hold the bytes it was sent; ``names`` says which files, where that is known."""

    code = "not_held"

    def __init__(self, said: str, *, names: Iterable[str] = ()) -> None:
        super().__init__(said)
        self.names = frozenset(names)
