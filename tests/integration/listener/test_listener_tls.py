"""TLS: dcmtk with and without a certificate, and callers who say nothing or the wrong thing."""

import socket
import ssl
import subprocess

import pytest
from dicom_callers import associate, run, send
from pydantic import ValidationError
from pynetdicom import AE, evt

from dicom.commitment import NotReported, Peer, Report, send_report
from dicom.listener import Listener
from dicom.settings import ListenerSettings
from kspace.errors import ConfigError


@pytest.fixture(scope="module")
def certificates(requires, tmp_path_factory):
    """Return a folder with an authority, what it signed for listener and scanner, and a stranger's certificate."""
    openssl, folder = requires("openssl"), tmp_path_factory.mktemp("certificates")

    def sign(name, *more):
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", folder / f"{name}.key")
        out = ("-out", folder / f"{name}.pem", "-subj", f"/CN={name}", "-days", "2", "-x509")
        subprocess.run([openssl, "req", *key, *out, *more], check=True, capture_output=True)

    sign("ca")
    for name in ("listener", "scanner"):
        signed = ("-CA", folder / "ca.pem", "-CAkey", folder / "ca.key")
        sign(name, *signed, "-addext", "basicConstraints=critical,CA:FALSE")
    sign("stranger")
    return folder


@pytest.fixture
def tls(listen, certificates):
    def _tls(**more):
        names = {"tls_cert": "listener.pem", "tls_key": "listener.key", "tls_ca": "ca.pem"}
        return listen(**{name: certificates / file for name, file in names.items()}, **more)

    return _tls


def storescu(port, image, folder, name):
    shown = [folder / f"{name}.key", folder / f"{name}.pem"]
    return run("storescu", port, image, "+tls", *shown, "+cf", folder / "ca.pem").returncode


@pytest.mark.parametrize("processes", [1, 2])
def test_dcmtk_sends_with_a_certificate_and_nobody_without(tls, inbox, images, certificates, processes):
    listener = tls(processes=processes)
    assert storescu(listener.port, images[0], certificates, "scanner") == 0
    assert storescu(listener.port, images[1], certificates, "stranger") != 0
    assert run("storescu", listener.port, images[1], "+tla", "+cf", certificates / "ca.pem").returncode != 0
    assert run("storescu", listener.port, images[1]).returncode != 0
    assert len(inbox.received) == 1


def test_old_versions_are_refused(tls, certificates):
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    context.check_hostname = False
    context.load_cert_chain(certificates / "scanner.pem", certificates / "scanner.key")
    for version, is_taken in ((ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True)):
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
        with socket.create_connection(("127.0.0.1", tls().port)) as plain:
            try:
                with context.wrap_socket(plain) as talked:
                    assert is_taken, talked.version()
            except ssl.SSLError:
                assert not is_taken


def test_a_caller_who_says_nothing_keeps_nobody_waiting(tls, images, certificates):
    listener = tls()
    with socket.create_connection(("127.0.0.1", listener.port)), socket.create_connection(("127.0.0.1", listener.port)):
        assert storescu(listener.port, images[0], certificates, "scanner") == 0


def test_reports_go_by_tls_with_the_listeners_certificate(tls, certificates):
    taken = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "ca.pem")
    context.load_cert_chain(certificates / "scanner.pem", certificates / "scanner.key")
    context.verify_mode = ssl.CERT_REQUIRED
    entity = AE("CONSOLE")
    entity.add_supported_context("1.2.840.10008.1.20.1", scu_role=False, scp_role=True)
    handlers = [(evt.EVT_N_EVENT_REPORT, lambda event: (taken.append(event.event_type) or 0, None))]
    server = entity.start_server(("127.0.0.1", 0), block=False, ssl_context=context, evt_handlers=handlers)
    settings = ListenerSettings(
        tls_cert=certificates / "listener.pem", tls_key=certificates / "listener.key", tls_ca=certificates / "ca.pem"
    )
    peer = {"ae_title": "CONSOLE", "host": "127.0.0.1", "port": server.server_address[1], "calling_ae": "KSPACE"}
    report = Report(transaction_uid="1.2", kept=[("1.2", "1.2.3")], failed=[])
    try:
        send_report(report, Peer(**peer, tls=settings.client_tls()))
        with pytest.raises(NotReported):
            send_report(report, Peer(**peer | {"ae_title": "CONSOLE"}))
    finally:
        server.shutdown()
    assert taken == [1]


def test_a_certificate_that_cannot_be_used_is_said_so(tmp_path, inbox):
    (tmp_path / "nothing.pem").write_text("nothing")
    settings = ListenerSettings(tls_cert=tmp_path / "nothing.pem")
    with pytest.raises(ConfigError, match="tls_cert"):
        Listener(settings, inbox=inbox, folder=tmp_path, shelf=tmp_path)


def test_a_key_without_a_certificate_is_a_mistake(tmp_path):
    with pytest.raises(ValidationError, match="tls_cert"):
        ListenerSettings(tls_ca=tmp_path / "ca.pem")


def test_plain_dicom_is_still_spoken_where_nothing_else_is_asked_for(listen, images):
    listener = listen()
    assert send(listener.port, images[0]) == 0
    assert associate(listener.port, called="OTHER").is_rejected
