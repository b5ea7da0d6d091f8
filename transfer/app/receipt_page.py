"""The receipt as one page for people: it stands alone, prints on one sheet, and names no patient."""

import json
from collections import Counter
from html import escape
from string import Template
from typing import Any

_SHOWN = 8
"""So many files are listed; of more, the others are counted, so that it stays one page."""

_PAGE = Template("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Custody receipt $short</title>
<style>
:root { --ink: #16202b; --soft: #586573; --line: #d5dbe1; --paper: #fff; --mark: #0b6b4f; --tint: #eef6f2 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8edf2; --soft: #a3b0bd; --line: #36414d; --paper: #12181f; --mark: #6fd3ae; --tint: #17261f }
}
@media print {
  :root { --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --mark: #0b6b4f; --tint: #fff }
}
@page { size: A4; margin: 14mm }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 52rem; padding: 2rem 1.25rem; color: var(--ink); background: var(--paper);
  font: 15px/1.45 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 }
h2 { font-size: 1rem; margin: 1.4rem 0 .4rem }
p { margin: .3rem 0 }
.proved { border-left: .3rem solid var(--mark); background: var(--tint); padding: .7rem 1rem; margin: 1rem 0 }
.soft { color: var(--soft) }
dl { display: grid; grid-template-columns: 9rem 1fr; gap: .25rem 1rem; margin: 0 }
dt { color: var(--soft) }
dd { margin: 0 }
code, .digest { font: .85em/1.4 ui-monospace, monospace; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100%; table-layout: fixed; font-size: .87rem }
th, td { text-align: left; vertical-align: top; padding: .25rem .5rem .25rem 0; border-bottom: 1px solid var(--line) }
th { color: var(--soft); font-weight: 600 }
th:first-child { width: 9rem }
th:last-child { width: 6.5rem }
td:last-child, th:last-child { text-align: right; padding-right: 0; font-variant-numeric: tabular-nums }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .5rem }
  thead { display: none } tr { display: grid; grid-template-columns: 1fr auto; border-bottom: 1px solid var(--line) }
  td { border: 0 } td.digest { grid-area: 2 / 1 / 3 / 3; padding-top: 0; text-align: left } }
@media print { body { padding: 0; font-size: 12px } h1 { font-size: 1.3rem } h2 { margin: .9rem 0 .2rem } }
</style>
<body>
<header>
<h1>Custody receipt</h1>
<p class="soft">k-space raw data, capture <code>$folder</code></p>
</header>
<p class="proved"><strong>$destination</strong> showed on <strong>$at</strong>, from the bytes it stores, that it holds
this raw file in full.</p>
<h2>The file</h2>
<dl>
<dt>Size</dt><dd>$size bytes</dd>
<dt>SHA-256</dt><dd class="digest">$sha256</dd>
</dl>
<h2>Where it is</h2>
<dl>
<dt>Archive</dt><dd>$destination</dd>
<dt>Project</dt><dd>$project</dd>
<dt>Place</dt><dd class="digest">$place</dd>
<dt>Folder</dt><dd class="digest">$folder</dd>
</dl>
<h2>What the archive showed</h2>
$how
<table>
<thead><tr><th>File</th><th>Digest seen there</th><th>Bytes</th></tr></thead>
<tbody>
$rows
</tbody>
</table>
$more
<h2>Signature</h2>
<dl>
<dt>Ed25519</dt><dd class="digest">$signature</dd>
<dt>Public key</dt><dd class="digest">$public_key</dd>
<dt>Written by</dt><dd>$program</dd>
</dl>
<p class="soft">This page is for reading. What is signed is the file <code>receipt.json</code> in the folder above. To
check it without a network, with a key that you have from the relay itself, and to compare the raw file with it:</p>
<p><code>kspace receipt --check receipt.json --key KEY --against FILE</code></p>
</body>
</html>
""")


def page(document: bytes) -> str:
    """Return a receipt, which is checked, as HTML without any outside asset."""
    signed = json.loads(document)
    said = signed["receipt"]
    files: dict[str, dict[str, Any]] = {name.rpartition("/")[2]: f for name, f in sorted(said["files"].items())}
    ways = Counter(f["how"] for f in files.values())
    plain = {
        "short": said["folder"],
        "folder": said["folder"],
        "destination": said["destination"],
        "at": said["verified_at"].replace("T", " ").replace("+00:00", " UTC"),
        "size": f"{said['source']['size']:,}",
        "sha256": said["source"]["sha256"],
        "project": said["project"],
        "place": said["place"] or "",
        "signature": signed["signature"],
        "public_key": signed["public_key"],
        "program": said["program"],
    }
    left = len(files) - _SHOWN
    return _PAGE.substitute(
        {name: escape(str(value)) for name, value in plain.items()},
        how="\n".join(f"<p>{number} of {len(files)} files: {escape(way)}.</p>" for way, number in sorted(ways.items())),
        rows="\n".join(_row(name, files[name]) for name in list(files)[: _SHOWN if left > 1 else None]),
        more=f'<p class="soft">{left} more are listed in the signed file.</p>' if left > 1 else "",
    )


def _row(name: str, file: dict[str, Any]) -> str:
    size = f"{file['size']:,}" if "size" in file else ""
    return f'<tr><td>{escape(name)}</td><td class="digest">{escape(file["digest"])}</td><td>{size}</td></tr>'
