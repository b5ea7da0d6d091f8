"""Certificates for the campaign: a private authority, what it signs, and what it would never sign."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


class Authority:
    """Signs for some names of one server; ``ca_file`` is what a client is told to trust."""

    def __init__(self, folder: Path, *names: str) -> None:
        self._folder, self._names = folder, names
        self._key, self._issuer = ec.generate_private_key(ec.SECP256R1()), _named("campaign authority")
        own = _signed(self._issuer, self._key.public_key(), self._issuer, self._key, until=datetime.now(UTC) + _DAY)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def server(self, *, is_expired: bool = False, is_stranger: bool = False) -> ssl.SSLContext:
        """Return a server that shows a certificate: a good one, an expired one, or one that nobody trusted signed."""
        key = ec.generate_private_key(ec.SECP256R1())
        until = datetime.now(UTC) + (-_DAY if is_expired else _DAY)
        signer = ec.generate_private_key(ec.SECP256R1()) if is_stranger else self._key
        shown = _signed(_named("server"), key.public_key(), self._issuer, signer, until=until, hosts=self._names)
        path = self._folder / f"server-{is_expired:d}{is_stranger:d}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + shown.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _signed(
    subject: x509.Name,
    public: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    until: datetime,
    hosts: tuple[str, ...] = (),
) -> x509.Certificate:
    """Sign a certificate; without hosts it is the authority's own."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - 10 * _DAY)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=not hosts, path_length=None), critical=True)
    )
    if hosts:
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256())
