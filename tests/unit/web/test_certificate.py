"""A certificate that a phone's browser takes once it is told to."""

import socket
import ssl
import threading

from edgelab.web import certificate


def shaken(context, address):
    """The certificate's fingerprint that a client sees which trusts nothing but that certificate."""
    with socket.socket() as listening:
        listening.bind((address, 0))
        listening.listen(2)

        def serve():
            for _ in range(2):
                taken, _ = listening.accept()
                try:
                    context.wrap_socket(taken, server_side=True).close()
                except OSError:
                    taken.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        pem = ssl.get_server_certificate(listening.getsockname())
        trusting = ssl.create_default_context(cadata=pem)
        with (
            socket.create_connection(listening.getsockname(), timeout=20) as plain,
            trusting.wrap_socket(plain, server_hostname=address) as secured,
        ):
            return ssl.PEM_cert_to_DER_cert(pem) == secured.getpeercert(binary_form=True), pem


def test_it_is_for_the_address_and_its_fingerprint_is_told():
    import hashlib

    context, fingerprint = certificate.make("127.0.0.1")
    is_same, pem = shaken(context, "127.0.0.1")
    assert is_same
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    assert fingerprint.replace(":", "") == digest
    assert certificate.make("127.0.0.1")[1] != fingerprint
