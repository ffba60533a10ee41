/*
 * The ClientHello: the server name that it asks for (RFC 6066 section 3) and the protocols that it offers (RFC 7301).
 * Only OpenSSL's callback for it comes early enough: afterwards OpenSSL looks up the session to be resumed, and picks
 * the version.
 *
 * Where a listening address has several servers, the handshake stops here. The bytes read so far are kept, and a new
 * connection of the chosen server's own context reads them again. So only that context counts, and no state is carried
 * over from one context to another, which is where such choices had flaws (CVE-2025-23419).
 */

#include "openssl.h"

#include <string.h>

#define OFFERS_SIZE 255 /* bytes; what a client offers beyond that is ignored */

enum state {
    ASKING,
    CHOOSING, /* the handshake waits for the choice */
    CHOSEN,
    REFUSED
};

struct choice {
    enum state state;
    int alert; /* for REFUSED */
    unsigned char *bytes; /* all that the client has sent, until the choice */
    size_t length, replayed;
    int replaying;
    int offers_length;
    unsigned char offers[OFFERS_SIZE];
};

int hello_begin(struct hello *hello, int chooses)
{
    hello->name_length = -1;
    if (chooses) {
        hello->choice = OPENSSL_zalloc(sizeof(*hello->choice));
        return hello->choice != NULL;
    }
    return 1;
}

void hello_end(struct hello *hello)
{
    if (hello->choice != NULL) {
        OPENSSL_free(hello->choice->bytes);
        OPENSSL_free(hello->choice);
        hello->choice = NULL;
    }
}

void hello_free(struct hello *hello)
{
    hello_end(hello);
    OPENSSL_free(hello->name);
}

int hello_record(struct hello *hello, const char *data, int length)
{
    struct choice *choice = hello->choice;
    unsigned char *bytes;

    if (choice == NULL || choice->state != ASKING) {
        return 1;
    }
    bytes = OPENSSL_realloc(choice->bytes, choice->length + (size_t) length);
    if (bytes == NULL) {
        return 0;
    }
    memcpy(bytes + choice->length, data, (size_t) length);
    choice->bytes = bytes;
    choice->length += (size_t) length;
    return 1;
}

int hello_replay(struct hello *hello, char *page, int limit)
{
    struct choice *choice = hello->choice;
    size_t left;

    if (choice == NULL || !choice->replaying) {
        return 0;
    }
    left = choice->length - choice->replayed;
    if (left > (size_t) limit) {
        left = (size_t) limit;
    }
    memcpy(page, choice->bytes + choice->replayed, left);
    choice->replayed += left;
    choice->replaying = choice->replayed < choice->length;
    return (int) left;
}

static size_t number_at(const unsigned char *start)
{
    return (size_t) start[0] << 8 | start[1];
}

/* The extension is a list that must hold one name, of the only type there is; OpenSSL refuses all other lists, too. */
int hello_name(const unsigned char *extension, size_t size, const unsigned char **name)
{
    size_t length;

    if (size < 5 || number_at(extension) != size - 2 || extension[2] != TLSEXT_NAMETYPE_host_name) {
        return -1;
    }
    length = number_at(extension + 3);
    if (length != size - 5 || length > TLSEXT_MAXLEN_host_name || memchr(extension + 5, 0, length) != NULL) {
        return -1;
    }
    *name = extension + 5;
    return (int) length;
}

static int name_of(SSL *connection, const unsigned char **name)
{
    const unsigned char *extension;
    size_t size;

    if (SSL_client_hello_get0_ext(connection, TLSEXT_TYPE_server_name, &extension, &size) != 1) {
        return -1;
    }
    return hello_name(extension, size, name);
}

/* Takes what there is room for; the last name may be cut. */
static void take_offers(SSL *connection, struct choice *choice)
{
    const unsigned char *extension;
    size_t size;

    choice->offers_length = 0;
    if (SSL_client_hello_get0_ext(connection, TLSEXT_TYPE_application_layer_protocol_negotiation, &extension, &size) !=
            1 ||
        size < 2 || number_at(extension) != size - 2) {
        return;
    }
    choice->offers_length = size - 2 < OFFERS_SIZE ? (int) size - 2 : OFFERS_SIZE;
    memcpy(choice->offers, extension + 2, (size_t) choice->offers_length);
}

static int keep_name(struct hello *hello, const unsigned char *name, int length)
{
    hello->name_length = length;
    hello->name = length > 0 ? OPENSSL_strndup((const char *) name, (size_t) length) : NULL;
    return length <= 0 || hello->name != NULL;
}

/* The callback is called again for a ClientHello that is replayed, and for the one after a HelloRetryRequest. */
static int is_another(const struct hello *hello, const unsigned char *name, int length)
{
    return length != hello->name_length || (length > 0 && memcmp(name, hello->name, (size_t) length) != 0);
}

int take_hello(SSL *connection, int *alert, void *arg)
{
    struct hello *hello = &link_of(connection)->hello;
    struct choice *choice = hello->choice;
    const unsigned char *name = NULL;
    int length = name_of(connection, &name);

    if (!hello->heard) {
        hello->heard = 1;
        if (!keep_name(hello, name, length)) {
            *alert = SSL_AD_INTERNAL_ERROR;
            return SSL_CLIENT_HELLO_ERROR;
        }
    } else if (is_another(hello, name, length)) {
        *alert = SSL_AD_ILLEGAL_PARAMETER;
        return SSL_CLIENT_HELLO_ERROR;
    }
    if (choice == NULL || choice->state == CHOSEN) {
        return SSL_CLIENT_HELLO_SUCCESS;
    }
    if (choice->state == REFUSED) {
        *alert = choice->alert;
        return SSL_CLIENT_HELLO_ERROR;
    }
    if (choice->state == CHOOSING) { /* the caller has not changed it */
        choice->state = CHOSEN;
        return SSL_CLIENT_HELLO_SUCCESS;
    }
    take_offers(connection, choice);
    choice->state = CHOOSING;
    return SSL_CLIENT_HELLO_RETRY;
}

SSL *connection_follow(SSL *connection, SSL_CTX *context)
{
    struct choice *choice = link_of(connection)->hello.choice;
    BIO *bio = SSL_get_rbio(connection);
    SSL *next;

    ERR_clear_error();
    next = SSL_new(context);
    if (next == NULL) {
        return NULL;
    }
    BIO_up_ref(bio);
    SSL_set_bio(next, bio, bio);
    SSL_set_accept_state(next);
    choice->state = CHOSEN;
    choice->replaying = 1;
    return next;
}

void connection_refuse(SSL *connection, int alert)
{
    struct choice *choice = link_of(connection)->hello.choice;

    choice->state = REFUSED;
    choice->alert = alert;
}

const char *connection_name(const SSL *connection)
{
    return link_of(connection)->hello.name;
}

int connection_offers(const SSL *connection, const unsigned char **protocols)
{
    const struct choice *choice = link_of(connection)->hello.choice;

    *protocols = choice->offers;
    return choice->offers_length;
}
