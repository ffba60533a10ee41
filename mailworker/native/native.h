/* What the C files offer. cffi reads this text as well, so it holds declarations only. */

/* Results of one step on a connection that are not a number of bytes. 0 is the end of what the peer sends. */
enum io_result {
    IO_WANT_READ = -1,
    IO_WANT_WRITE = -2,
    IO_SYSTEM = -3, /* errno tells more */
    IO_TLS = -4     /* OpenSSL's error queue tells more */
};

struct ticket_key {
    unsigned char name[16];
    unsigned char hmac[32];
    unsigned char aes[32];
    int size; /* bytes of hmac and of aes that count: 16 or 32 */
};

/* What the callbacks of one SSL_CTX read. Python owns it and keeps it as long as the SSL_CTX lives. */
struct tls_policy {
    unsigned char protocol[16]; /* the one ALPN protocol, after its length; length 0: ALPN is ignored */
    const struct ticket_key *ticket_keys; /* the first encrypts, all decrypt */
    int ticket_key_count;
    void *ticket_key_source; /* handle of the table's owner in Python, NULL where the keys never change */
    void *sessions; /* handle of the session store in Python */
};

SSL_CTX *context_new(struct tls_policy *policy);
void context_use_ticket_keys(SSL_CTX *context);
void context_use_sessions(SSL_CTX *context);
void context_drop_session(SSL_CTX *context, SSL_SESSION *session);
int context_compress_certificates(SSL_CTX *context, int on);
void context_verify_client(SSL_CTX *context, int depth);
EVP_PKEY *engine_key(const char *engine_id, const char *key_id, const char **failed_call);

SSL *connection_new(SSL_CTX *context, int fd);
void connection_free(SSL *connection);
int connection_handshake(SSL *connection);
int connection_read(SSL *connection, void *page, int limit);
int connection_write(SSL *connection, const void *data, int length);
int connection_close_notify(SSL *connection);
int connection_shutdown(SSL *connection);

enum relay_status {
    RELAY_MORE,           /* the bound is reached; call again, the source may hold more that no selector sees */
    RELAY_SOURCE_BLOCKED, /* all is handed on; wait for `want` on the source */
    RELAY_SINK_BLOCKED,   /* the sink did not take all; wait for `want` on the sink */
    RELAY_END,            /* all is handed on and the source has ended */
    RELAY_SOURCE_FAILED,
    RELAY_SINK_FAILED
};

struct pump {
    unsigned char *page; /* scratch; holds nothing of worth between two calls but what is kept */
    size_t size;
    size_t offset; /* where in the page, or in the data given to pump_flush, the untaken bytes start */
    size_t length; /* how many bytes the sink did not take */
    size_t moved;  /* how many bytes the sink took in this call */
    int want;      /* IO_WANT_READ or IO_WANT_WRITE where something blocked */
    int error;     /* errno where something failed; 0: OpenSSL's error queue tells */
};

int pump_move(struct pump *pump, int source_fd, SSL *source, int sink_fd, SSL *sink, size_t limit);
int pump_flush(struct pump *pump, const void *data, size_t length, int sink_fd, SSL *sink);

ssize_t socket_receive(int fd, void *page, size_t limit);
ssize_t socket_send(int fd, const void *data, size_t length);
