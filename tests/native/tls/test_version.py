import ssl

from mailworker.native.tls.version import built_with, running_with


def test_the_library_is_that_of_the_system() -> None:
    assert running_with() == ssl.OPENSSL_VERSION
    assert built_with().split(".")[0] == running_with().split(".")[0]
