/*
 * Resumption of sessions: tickets encrypted with keys that several processes share, the session cache that they share,
 * and the bound on how long resuming may go on. OpenSSL calls these functions from inside handshakes.
 */

#define OPENSSL_SUPPRESS_DEPRECATED

#include "openssl.h"

#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#if OPENSSL_VERSION_NUMBER >= 0x30000000L
#include <openssl/core_names.h>
#define MAC_CTX EVP_MAC_CTX
#define SET_TICKET_KEY_CALLBACK SSL_CTX_set_tlsext_ticket_key_evp_cb
#else
#define MAC_CTX HMAC_CTX
#define SET_TICKET_KEY_CALLBACK SSL_CTX_set_tlsext_ticket_key_cb
#endif

#define CLOCK_SLACK 60 /* seconds */

static struct tls_policy *policy_of(const SSL *connection)
{
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(connection));
}

/* Whether the session's start is in the future, by more than a clock that was set back a little explains. */
static int is_from_future(const SSL_SESSION *session)
{
    return (long) SSL_SESSION_get_time(session) - CLOCK_SLACK > (long) time(NULL);
}

/*
 * TLS 1.3 issues a new session at each resumption, with a fresh creation time and an unchanged timeout: a client
 * could resume for ever. As in nginx, a resumed session gets only what is left of the first session's lifetime.
 */
void bound_lifetime(const SSL *connection, int where, int result)
{
    SSL_SESSION *session;
    long now, age, timeout, longest;

    if ((where & SSL_CB_ACCEPT_LOOP) != SSL_CB_ACCEPT_LOOP || SSL_version(connection) != TLS1_3_VERSION ||
        (session = SSL_get0_session(connection)) == NULL) {
        return;
    }
    now = (long) time(NULL);
    age = now - (long) SSL_SESSION_get_time(session);
    timeout = SSL_SESSION_get_timeout(session);
    longest = SSL_CTX_get_timeout(SSL_get_SSL_CTX(connection));
    if (timeout > longest) {
        timeout = longest;
    }
    if (age >= timeout || is_from_future(session)) { /* an id context that no server has: it never resumes */
        SSL_SESSION_set1_id_context(session, (const unsigned char *) "", 0);
    } else if (age >= 0) {
        SSL_SESSION_set_time(session, now);
        SSL_SESSION_set_timeout(session, timeout - age);
    }
}

static int start_mac(MAC_CTX *mac, const struct ticket_key *key)
{
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
    OSSL_PARAM parameters[3];
    char digest[] = "SHA256";
    unsigned char secret[sizeof(key->hmac)];
    int done;

    memcpy(secret, key->hmac, sizeof(secret));
    parameters[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, secret, (size_t) key->size);
    parameters[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
    parameters[2] = OSSL_PARAM_construct_end();
    done = EVP_MAC_CTX_set_params(mac, parameters);
    OPENSSL_cleanse(secret, sizeof(secret));
    return done;
#else
    return HMAC_Init_ex(mac, key->hmac, key->size, EVP_sha256(), NULL);
#endif
}

static const EVP_CIPHER *ticket_cipher(const struct ticket_key *key)
{
    return key->size == 16 ? EVP_aes_128_cbc() : EVP_aes_256_cbc();
}

static int seal_ticket(const struct ticket_key *key, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                       MAC_CTX *mac)
{
    const EVP_CIPHER *algorithm = ticket_cipher(key);

    if (RAND_bytes(iv, EVP_CIPHER_iv_length(algorithm)) != 1 ||
        EVP_EncryptInit_ex(cipher, algorithm, NULL, key->aes, iv) != 1 || start_mac(mac, key) != 1) {
        return -1;
    }
    memcpy(name, key->name, sizeof(key->name));
    return 1;
}

/* 0: not our key, so a full handshake; 1: valid; 2: valid, and the client gets a new ticket. */
static int open_ticket(SSL *connection, const struct tls_policy *policy, const unsigned char *name,
                       const unsigned char *iv, EVP_CIPHER_CTX *cipher, MAC_CTX *mac)
{
    int i;

    for (i = 0; i < policy->ticket_key_count; i++) {
        const struct ticket_key *key = &policy->ticket_keys[i];

        if (memcmp(name, key->name, sizeof(key->name)) != 0) {
            continue;
        }
        if (EVP_DecryptInit_ex(cipher, ticket_cipher(key), NULL, key->aes, iv) != 1 || start_mac(mac, key) != 1) {
            return -1;
        }
        return i == 0 && SSL_version(connection) != TLS1_3_VERSION ? 1 : 2;
    }
    return 0;
}

static int ticket_key(SSL *connection, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, MAC_CTX *mac,
                      int sealing)
{
    const struct tls_policy *policy = policy_of(connection);

    if (policy->ticket_key_source != NULL && *policy->ticket_key_sequence != policy->ticket_key_seen) {
        refresh_ticket_keys(policy->ticket_key_source);
    }
    if (policy->ticket_key_count == 0) {
        return sealing ? -1 : 0;
    }
    if (sealing) {
        return seal_ticket(&policy->ticket_keys[0], name, iv, cipher, mac);
    }
    return open_ticket(connection, policy, name, iv, cipher, mac);
}

void context_use_ticket_keys(SSL_CTX *context)
{
    SET_TICKET_KEY_CALLBACK(context, ticket_key);
}

/*
 * Any worker may have stored it, a compromised one among them, so only times are accepted that this server could have
 * stored: a session from the future would never end, nor would one with a longer timeout.
 */
static int bound_stored_session(const SSL *connection, SSL_SESSION *session)
{
    long longest = SSL_CTX_get_timeout(SSL_get_SSL_CTX(connection));

    if (is_from_future(session)) {
        return 0;
    }
    if (SSL_SESSION_get_timeout(session) > longest) {
        SSL_SESSION_set_timeout(session, longest);
    }
    return 1;
}

static int remember_session(SSL *connection, SSL_SESSION *session)
{
    unsigned char encoded[SESSION_SIZE_MAX], *end = encoded;
    const unsigned char *id;
    unsigned int id_length;
    int length;

    /* With tickets on, TLS 1.3 resumes only from the ticket, yet OpenSSL also offers the session to the cache. */
    if (SSL_version(connection) == TLS1_3_VERSION && !(SSL_get_options(connection) & SSL_OP_NO_TICKET)) {
        return 0;
    }
    length = i2d_SSL_SESSION(session, NULL);
    if (length <= 0 || length > SESSION_SIZE_MAX) {
        return 0;
    }
    length = i2d_SSL_SESSION(session, &end);
    id = SSL_SESSION_get_id(session, &id_length);
    table_store(policy_of(connection)->sessions, id, (int) id_length, encoded, length, table_now());
    OPENSSL_cleanse(encoded, sizeof(encoded));
    return 0; /* no reference was kept */
}

static SSL_SESSION *recall_session(SSL *connection, const unsigned char *id, int id_length, int *copy)
{
    struct tls_policy *policy = policy_of(connection);
    unsigned char encoded[SESSION_SIZE_MAX];
    const unsigned char *start = encoded;
    SSL_SESSION *session = NULL;
    int length;

    *copy = 0;
    length = table_load(policy->sessions, id, id_length, encoded, SESSION_SIZE_MAX, table_now());
    if (length > 0) {
        ERR_set_mark(); /* a broken session is a miss, and does not fail the handshake */
        session = d2i_SSL_SESSION(NULL, &start, length);
        ERR_pop_to_mark();
        OPENSSL_cleanse(encoded, sizeof(encoded));
    }
    if (session != NULL && !bound_stored_session(connection, session)) {
        SSL_SESSION_free(session);
        session = NULL;
    }
    policy->sessions_found += session != NULL;
    policy->sessions_missed += session == NULL;
    return session;
}

static void forget_session(SSL_CTX *context, SSL_SESSION *session)
{
    const struct tls_policy *policy = SSL_CTX_get_app_data(context);
    const unsigned char *id;
    unsigned int id_length;

    id = SSL_SESSION_get_id(session, &id_length);
    table_remove(policy->sessions, id, (int) id_length);
}

/*
 * OpenSSL's callback is the same for bad sessions and for those that its own cache has no room for. With that cache on,
 * neither is removed from the store, or few would stay there; context_drop_session removes bad ones.
 */
void context_use_sessions(SSL_CTX *context)
{
    SSL_CTX_sess_set_new_cb(context, remember_session);
    SSL_CTX_sess_set_get_cb(context, recall_session);
    if (SSL_CTX_get_session_cache_mode(context) & SSL_SESS_CACHE_NO_INTERNAL_STORE) {
        SSL_CTX_sess_set_remove_cb(context, forget_session);
    }
}

void context_drop_session(SSL_CTX *context, SSL_SESSION *session)
{
    const struct tls_policy *policy = SSL_CTX_get_app_data(context);

    SSL_CTX_remove_session(context, session);
    if (policy->sessions != NULL) {
        forget_session(context, session);
    }
}
