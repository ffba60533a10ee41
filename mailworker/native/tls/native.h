/* Declarations of the C files. cffi reads this text as well, so it holds nothing else. */

struct ticket_key {
    unsigned char name[16];
    unsigned char hmac[32];
    unsigned char aes[32];
    int size; /* bytes of hmac and of aes that are used: 16 or 32 */
};

#define SLOTS 32 /* enough that two sets to choose from fill evenly, few enough to search all of them */
#define CELL_SIZE 152 /* bytes: enough for a record of OpenSSL 3's sessions (146 to 158 bytes), with some to spare */
#define SESSION_SIZE_MAX 8192 /* bytes, nginx's bound as well: one with a longer client certificate is not stored */

/*
 * A part of the memory that workers share. Nothing in it is atomic: other processes may write at the same time, or be
 * killed within a write. Zeros are empty slots.
 */
struct slot_set {
    uint32_t tags[SLOTS];
    uint32_t expiries[SLOTS]; /* as all times here: ticks of the monotonic clock, which all processes share; never 0 */
    uint32_t stored[SLOTS];
    unsigned char cells[SLOTS][CELL_SIZE];
};

struct tls_session_table {
    struct slot_set *sets;
    uint32_t count; /* of sets, at least 2 */
    uint32_t lifetime; /* of sessions stored through this table, in ticks */
};

/* A slot that could take a new part. The lesser of two offers, by kind first, is the better one. */
struct slot_offer {
    int kind; /* 0: empty, 1: expired, 2: in use */
    uint32_t value;
    int slot;
};

#define PROTOCOLS_SIZE 32 /* bytes: every protocol's names in ALPN, each after its length */

/* The settings for the callbacks of one SSL_CTX. Python owns it and keeps it as long as the SSL_CTX lives. */
struct tls_policy {
    unsigned char protocols[PROTOCOLS_SIZE]; /* ALPN's, each after its length */
    unsigned int protocols_length; /* 0: ALPN is ignored */
    const struct ticket_key *ticket_keys; /* the first encrypts, all decrypt */
    int ticket_key_count;
    void *ticket_key_source; /* handle of the table's owner in Python, NULL where the keys never change */
    const volatile uint64_t *ticket_key_sequence; /* differs from ticket_key_seen where the source has other keys */
    uint64_t ticket_key_seen;
    const struct tls_session_table *sessions; /* NULL where sessions are not shared with other processes */
    uint64_t sessions_found, sessions_missed; /* by this process, since it began */
};

SSL_CTX *context_new(struct tls_policy *policy, int client);
void context_use_ticket_keys(SSL_CTX *context);
void context_use_sessions(SSL_CTX *context);
void context_drop_session(SSL_CTX *context, SSL_SESSION *session);
void context_verify_peer(SSL_CTX *context, int depth);

/* A session may be lost at any time, but a loaded one was stored whole under its id. table_load: -1 if it is lost. */
void table_store(const struct tls_session_table *table, const unsigned char *id, int id_length,
                 const unsigned char *session, int length, uint32_t now);
int table_load(const struct tls_session_table *table, const unsigned char *id, int id_length, unsigned char *session,
               int size, uint32_t now);
void table_remove(const struct tls_session_table *table, const unsigned char *id, int id_length);
uint32_t table_ticks(double seconds);
uint32_t table_now(void);

/* Their steps, for tests. `near`: two processes that store at once should not choose the same empty slot. */
uint64_t siphash(uint64_t low, uint64_t high, const void *data, size_t length);
int slot_find(const struct slot_set *set, uint32_t tag);
struct slot_offer slot_offer(const struct slot_set *set, uint32_t now, uint32_t near);
void slot_fill(struct slot_set *set, int slot, uint32_t tag, uint32_t expiry, uint32_t now, const void *cell,
               size_t length);

/* The only name in the extension server_name (RFC 6066 section 3). -1: there is none, or the extension is not valid. */
int hello_name(const unsigned char *extension, size_t size, const unsigned char **name);

/* Read a certificate, and a private key, in DER. NULL: failed, with or without reasons in OpenSSL's queue. */
enum key_form { KEY_PKCS8, KEY_RSA, KEY_EC };
X509 *pair_certificate(const unsigned char *der, long length);
EVP_PKEY *pair_key(enum key_form form, const unsigned char *der, long length);

/*
 * With `chooses` a server's handshake gives IO_HELLO after the ClientHello, before anything is negotiated or resumed.
 * Then connection_follow makes a connection of another context that takes the place of this one, which the caller still
 * has to free; connection_refuse makes the handshake end with a fatal alert.
 */
SSL *connection_new(SSL_CTX *context, int fd, int chooses);
SSL *connection_follow(SSL *connection, SSL_CTX *context);
void connection_refuse(SSL *connection, int alert);
/* The name that a client sent by SNI, NULL for none; the protocols that it offers by ALPN, up to 255 bytes of them. */
const char *connection_name(const SSL *connection);
int connection_offers(const SSL *connection, const unsigned char **protocols);
void connection_free(SSL *connection);
int connection_handshake(SSL *connection, int more);
int connection_read(SSL *connection, void *page, int limit);
int connection_has_input(SSL *connection); /* whether there are bytes that no poller sees; they need not be data */
int connection_write(SSL *connection, const void *data, int length);
int connection_close_notify(SSL *connection);
int connection_shutdown(SSL *connection);

const void *transport_of_tls(void); /* where _core finds the table of transport.h */
