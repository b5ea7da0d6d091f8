"""A bucket as a relay's destination, for tests."""

import json


def vault(bucket, **more):
    """Return the settings of a bucket as TOML."""
    given = {"kind": "s3", "endpoint": bucket.meddler.url, "bucket": bucket.name, "prefix": "kspace/", "timeout_s": 30}
    lines = [f"{key} = {json.dumps(value)}" for key, value in (given | {"part_bytes": 5 << 20} | more).items()]
    lines += [f'{key} = {{ file = "{path}" }}' for key, path in bucket.keys.items()]
    return "\n".join(lines)


def verified(running, *names):
    found = [d["state"] for name in dict.fromkeys(names) for d in running.deliveries(kind="raw", to=name)]
    return found == ["verified"] * len(names)
