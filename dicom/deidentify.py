"""De-identification of DICOM on its way out. There is no profile yet, so whoever names one sends nothing."""

from kspace.errors import KspaceError, Retry


class NoProfile(KspaceError):
    """A route wants a de-identification that the relay does not know: nothing is sent."""

    code = "no_profile"
    retry = Retry.PERSON


def demand(profile: str | None) -> None:
    """Return where no de-identification is asked for; this is where a profile would be looked up.

    Raises:
        NoProfile: one is asked for.
    """
    if profile is not None:
        raise NoProfile(
            f"The route asks for the de-identification profile {profile!r}, and there is none of this name: nothing "
            "was sent, the images are safe in the spool. Name another route, or none, then retry."
        )
