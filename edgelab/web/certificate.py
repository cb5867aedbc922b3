"""A certificate made on the spot, so that a phone on the local network gets a page by https.

Without https a phone's browser counts the page as insecure and offers it no WebGPU. Nobody vouches for such a
certificate, so the browser warns once; its fingerprint tells who compares that no other computer is between.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 2  # a lesson, not longer


def make(address: str) -> tuple[ssl.SSLContext, str]:
    """A server's side of https for one address, with a new key that is written nowhere for longer than this.

    Args:
        address: of this computer, IPv4 or IPv6.

    Returns:
        The context, and the certificate's SHA-256 fingerprint as browsers show it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgelab class")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # a phone's clock may be behind
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="edgelab-class-") as folder:  # of this account alone
        both = Path(folder) / "both.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        both.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(both)
    return context, made.fingerprint(hashes.SHA256()).hex(":").upper()
