"""The log level of TLS errors: those that a peer can cause are frequent; others need attention."""

from __future__ import annotations

from mailworker.errors import TlsError
from mailworker.model import Level

# Reason numbers of OpenSSL's SSL library (sslerr.h) that a peer can cause: those of nginx's
# ngx_ssl_connection_error(), and others of broken handshakes. A number never changes its meaning.
_PEER_REASONS = frozenset(
    {
        13,  # ASN1 lib: a certificate that is none
        101,  # no suitable key share
        102,  # bad dh value
        103,  # bad change cipher spec
        108,  # bad key share
        110,  # bad extension
        111,  # bad digest length
        112,  # missing sigalgs extension
        115,  # bad packet length
        116,  # bad protocol version number
        118,  # no suitable signature algorithm
        122,  # bad key update
        123,  # bad signature
        129,  # block cipher pad is wrong
        132,  # too many key updates
        133,  # ccs received early
        134,  # certificate verify failed: no untrusted one, but one whose key cannot be read
        135,  # cert length mismatch
        145,  # data between ccs and finished
        146,  # data length too long
        147,  # decryption failed
        148,  # dh public value length is wrong
        149,  # digest check failed
        150,  # encrypted length too long
        151,  # error in received cipher list
        152,  # excessive message size
        153,  # extra data in message
        154,  # got a fin before a ccs
        155,  # https proxy request
        156,  # http request
        159,  # length mismatch
        160,  # length too short
        163,  # ext length mismatch
        166,  # version too high
        182,  # not on record boundary
        183,  # no ciphers specified
        186,  # bad cipher
        187,  # no compression specified
        193,  # no shared cipher
        198,  # packet length too long
        205,  # invalid alert
        209,  # missing supported groups extension
        213,  # record length mismatch
        217,  # unsolicited extension
        226,  # clienthello tlsext
        227,  # parse tlsext
        229,  # ssl handshake failure
        234,  # callback failed
        235,  # no application protocol
        240,  # bad packet
        244,  # unexpected message
        245,  # unexpected record
        246,  # unknown alert type
        252,  # unknown protocol
        253,  # binder does not verify
        256,  # missing fatal
        258,  # unsupported protocol
        260,  # invalid ccs message
        262,  # unexpected ccs message
        267,  # wrong version number
        271,  # bad length
        278,  # post handshake auth encoding err
        281,  # decryption failed or bad record mac
        291,  # application data after close notify
        292,  # bad legacy version
        293,  # mixed handshake and non handshake data
        294,  # unexpected eof while reading
        297,  # no suitable digest algorithm
        298,  # record too small
        306,  # bad ecpoint
        310,  # missing psk kex modes extension
        311,  # missing tmp ecdh key
        313,  # record layer failure: from OpenSSL 3.2 on it follows any error in a record
        335,  # renegotiate ext too long
        336,  # renegotiation encoding err
        337,  # renegotiation mismatch
        338,  # unsafe legacy renegotiation disabled
        339,  # no renegotiation
        340,  # inconsistent compression
        341,  # invalid compression algorithm
        342,  # required compression algorithm missing
        345,  # scsv received when renegotiating
        370,  # wrong signature type
        373,  # inappropriate fallback
        376,  # no shared signature algorithms
        378,  # wrong curve
        396,  # version too low
        404,  # length too long
        409,  # too many warn alerts
        410,  # no shared groups
        443,  # bad record type
    }
)
_FIRST_ALERT = 1000  # reasons from here on are alerts that the peer sent
_REASON_BITS = 0xFFF  # the reason in an error number, in OpenSSL 1.1.1 and 3


def severity(error: TlsError) -> Level:
    """INFO for an error that a peer has caused, else CRIT. As in nginx, the last reason decides."""
    if not error.reasons:
        return Level.INFO
    _, number, library, *_ = error.reasons[-1].split(":")
    reason = int(number, 16) & _REASON_BITS
    by_peer = library == "SSL routines" and (reason >= _FIRST_ALERT or reason in _PEER_REASONS)
    return Level.INFO if by_peer else Level.CRIT
