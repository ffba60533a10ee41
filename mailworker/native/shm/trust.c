/* The trust in clients that have logged in before: entries of their own in the tables of limits. */

#include "attempts.h"

static unsigned char *put(unsigned char *at, const void *text, size_t length)
{
    memcpy(at, text, length);
    at[length] = 0;
    return at + length + 1;
}

/*
 * The key of the entry for trust, which says that this user has logged in: after the rule's key the user, if that is
 * not the key, and the client's network. The caller frees its text.
 */
static int find_trust(const struct attempt *self, Py_ssize_t place, struct limit_key *key, unsigned char **text)
{
    static const int lengths[2] = {32, 64};
    const struct limit_key *by = &self->keys[place].key;
    const size_t user = (size_t) PyBytes_GET_SIZE(self->user);
    unsigned char room[ADDRESS_SIZE], *end;
    struct key network;

    *text = PyMem_Malloc(by->length + user + ADDRESS_SIZE + 4);
    if (*text == NULL) {
        return done(PyErr_NoMemory());
    }
    network = client_key(&self->client, KEY_PREFIX, NULL, lengths, room);
    end = put(put(*text, "", 0), by->text, by->length);
    if (self->all->rules[place].number != KEY_USER) {
        end = put(end, PyBytes_AS_STRING(self->user), user);
    }
    end = put(end, network.text, network.length) - 1;
    limit_make_key(self->all->rules[place].table, *text, (size_t) (end - *text), key);
    return 1;
}

/* The part up to the rule's key is the key of the entry that ends all trust from before. */
int is_trusted(const struct attempt *self, Py_ssize_t place, uint64_t now, int *trusted)
{
    struct limit_key key;
    struct limit_penalty found, end;
    unsigned char *text;

    if (!find_trust(self, place, &key, &text)) {
        return 0;
    }
    found = limit_penalty_of(&key, now);
    *trusted = found.level > 0 && found.age < LIMIT_TRUSTED;
    if (*trusted) {
        limit_make_key(self->all->rules[place].table, text, self->keys[place].key.length + 2, &key);
        end = limit_penalty_of(&key, now);
        *trusted = end.level == 0 || end.age > found.age;
    }
    PyMem_Free(text);
    return 1;
}

int set_trust(const struct attempt *self, Py_ssize_t place, uint64_t now)
{
    struct limit_key key;
    unsigned char *text;

    if (!find_trust(self, place, &key, &text)) {
        return 0;
    }
    limit_punish(self->all->rules[place].table, &key, 1, now);
    PyMem_Free(text);
    return 1;
}
