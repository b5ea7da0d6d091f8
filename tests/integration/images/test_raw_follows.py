"""Raw data find their scan in an archive whose scripts gave every UID anew."""

from tests.integration.relay import Relay, free_port, make, measurement, send_until_taken, wait_until
from transfer.sandbox import Project, Sandbox, SandboxSettings


def test_raw_data_go_to_the_scan_that_shows_their_series_pixels(tmp_path):
    projects = (Project(id="DEMO", prearchive_code=4, remaps_uids=True),)
    with Sandbox(tmp_path / "archive", SandboxSettings(projects=projects)) as sandbox:
        relay = Relay(folder=tmp_path, urls={"central": sandbox.url}, port=free_port())
        raws = [make(tmp_path / "scanner" / f"{n}.dat", measurement(n)) for n in (3, 4)]
        with relay.running() as running:
            send_until_taken([i for raw in raws for i in raw.images], running.port, within_s=30)

            def places():
                rows = running.deliveries(kind="raw", to="central")
                return sorted(r["place"].partition("/scans/")[2] for r in rows if r["state"] == "verified")

            wanted = ["3/resources/KSPACE", "4/resources/KSPACE"]
            wait_until(lambda: places() == wanted, within_s=60, told=running.alerts)
