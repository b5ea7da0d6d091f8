"""The story of one capture in lines for people: a label and what stands behind it."""

from itertools import groupby

from kspace.twix.header import is_seen
from transfer.app.cli.sessions import old_copy
from transfer.app.cli.show_file import UNSEEN
from transfer.catalog import lists

_ENDED = {
    "retired": "verified in every archive; the spool is freed",
    "recalled": "being fetched back from an archive, since it belongs elsewhere",
    "delivered": "verified in every archive; kept in the spool for a while",
}
Line = tuple[str, str]


def lines(story: lists.Row) -> list[Line]:
    """Return everything about a capture, from its file to its events."""
    return [
        ("capture", f"{story['id']}, {story['state']}"),
        ("file", f"{story['scanner']}: {story['path']} ({story['size']:,} bytes)"),
        ("protocol", f"{story['protocol'] or 'not read'}, MID {story['mid'] or 'not read'}"),
        *_software(story["measurements"]),
        ("verdict", story["verdict"] or "not looked into yet"),
        ("sha256", story["sha256"] or "not read in full yet"),
        ("now", _ENDED.get(story["state"]) or story["reason"] or "on its way"),
        *((d["step"], d["reason"]) for d in story["decisions"]),
        *(line for match in story["matches"] for line in _match(match)),
        *(line for sent in story["deliveries"] for line in _delivery(sent)),
        *(("before", f"{copy['destination']}: {old_copy(copy)}") for copy in story["former_copies"]),
        *((e["at"].strftime("%H:%M:%S"), f"{e['verb']} by {e['actor']}") for e in story["events"]),
    ]


def _software(measurements: list[lists.Row]) -> list[Line]:
    unseen = {m["software"] or "without a name" for m in measurements if not is_seen(m["software"])}
    unread = {name for m in measurements for name in m["unread"]}
    return [
        *(("software", f"{name}: {UNSEEN}") for name in sorted(unseen)),
        *([("not read", f"in the header: {', '.join(sorted(unread))}")] if unread else []),
    ]


def _match(match: lists.Row) -> list[Line]:
    taken_back = ", taken back since" if match["undone_at"] else ""
    found = [("joined", f"{match['certainty']}{taken_back}: {match['reason']}")]
    for number, said in groupby(match["evidence"], key=lambda e: e["number"]):
        found.append(("looked at", f"series {number if number is not None else 'without a number'}"))
        found += [("", f"{e['weight']}: {e['detail']}") for e in said if e["weight"] != "silent"]
    return found


def _delivery(sent: lists.Row) -> list[Line]:
    said = [f"to {sent['destination']}/{sent['project']}: {sent['state']}"]
    said += [sent[key] for key in ("place", "reason") if sent[key]]
    said.append(f"{len(sent['parts'])} parts, {sum(p['size'] for p in sent['parts']):,} bytes")
    return [(f"d{sent['id']}" if first == 0 else "", text) for first, text in enumerate(said)]
