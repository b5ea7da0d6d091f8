"""What the relay's account may do on an XNAT: more than a member of its projects is more than it needs."""

from transfer.destinations.probing import Powers
from transfer.destinations.xnat.client import XnatClient

_OK = 200


def powers(client: XnatClient) -> Powers:
    """Ask what only administrators may read, and for the list of projects that the account may edit.

    A site administrator alone reads the preference sessionTimeout (site-config-access.yaml), a data administrator
    alone searches the prearchive by tag (PrearcSessionListResource).
    """
    asked = {
        "site administrator": ("/xapi/siteConfig/sessionTimeout", {}),
        "data administrator": ("/data/prearchive/projects", {"tag": "1.2.3", "format": "json"}),
    }
    refusals = (_OK, 400, 403, 404, 500)
    offices = [
        office
        for office, (path, params) in asked.items()
        if client.request("GET", path, accept=refusals, params=params).status_code == _OK
    ]
    rows = client.rows("/data/projects", {"permissions": "edit", "dataType": "xnat:subjectData"})
    return Powers(offices=tuple(offices), projects=frozenset(row.get("ID") or row["id"] for row in rows))
