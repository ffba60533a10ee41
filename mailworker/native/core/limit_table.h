/* Entries of limits by their keys, which many processes change at once; see limit_table.c. */

#ifndef MAILWORKER_LIMIT_TABLE_H
#define MAILWORKER_LIMIT_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define SLOTS 8 /* of a set */
#define PLACES (2 * SLOTS) /* where an entry can be */
#define TEXT_SIZE 56 /* bytes: a length, and so much of the key as there is room for */

/* What an entry is made of; each word is changed as a whole. */
struct limit_entry {
    uint64_t tag;     /* hash 59 bits | claimed 1 | generation 4; no hash: it is free */
    uint64_t rate;    /* last 37 bits | excess 23 | generation 4 */
    uint64_t ban;     /* until 40 bits | generation 4 */
    uint64_t penalty; /* when 37 bits | level 8 | generation 4 */
    uint64_t seen;    /* four marks of 16 bits */
    unsigned char text[TEXT_SIZE];
};

struct limit_set {
    uint64_t turn; /* sequence | generation 4 | place + 1, 5 bits: the last entry that was made here */
    struct limit_entry entries[SLOTS];
};

struct limit_header {
    uint64_t dropped; /* entries that still counted and had to go */
    uint64_t unused[7];
};

struct limit_table {
    struct limit_header *header;
    struct limit_set *sets;
    size_t size; /* of sets */
    uint64_t secret[4]; /* of the hash, and of marks */
    uint64_t gain, period; /* an excess falls by gain / period thousandths in a millisecond */
    uint64_t dropped; /* by this process */
};

struct limit_key {
    const unsigned char *text;
    size_t length;
    uint64_t hash;
    struct limit_set *sets[2]; /* the first is at home */
};

/* How an excess looks that no request has made yet, and the largest that one can have. */
#define EXCESS_NONE 0x7FFFFF
#define EXCESS_MAX (EXCESS_NONE - 1)

void limit_key(const struct limit_table *table, const void *text, size_t length, struct limit_key *key);

/* The entry of a key, with its tag; NULL without one. Times are in milliseconds. */
struct limit_entry *limit_find(const struct limit_key *key, uint64_t *tag);

/* The same, which makes one; NULL where others were faster again and again, or write what cannot be. */
struct limit_entry *limit_entry(struct limit_table *table, const struct limit_key *key, uint64_t now, uint64_t *tag);

/* Adds a request: gives the excess, or -1 less that where it is above `burst`, which changes nothing. */
int64_t limit_take(struct limit_table *table, const struct limit_key *key, uint64_t now, uint64_t burst);
void limit_give_back(const struct limit_table *table, const struct limit_key *key);

/* Milliseconds since the last request that was added, -1 where there was none. */
int64_t limit_rest(const struct limit_key *key, uint64_t now);

/* Milliseconds that a ban goes on for. */
uint64_t limit_banned(const struct limit_entry *entry, uint64_t tag, uint64_t now);

/* Whether one of the last four has the same mark; from now on it is one of them. */
int limit_repeats(const struct limit_table *table, const struct limit_key *key, const void *what, size_t length);

/* Fields of words whose generation is that of the tag, 0 of others. */
struct limit_penalty {
    uint64_t level, age;
};
struct limit_penalty limit_penalty(const struct limit_entry *entry, uint64_t tag, uint64_t now);
void limit_set_penalty(struct limit_entry *entry, uint64_t tag, uint64_t level, uint64_t now);
int limit_set_ban(struct limit_entry *entry, uint64_t tag, uint64_t until);

/* Whether an entry is one, and not only claimed. */
int limit_is_entry(uint64_t tag);

#define LIMIT_LOAD(word) __atomic_load_n(word, __ATOMIC_SEQ_CST)

/* Seconds, which may be any number. */
static inline uint64_t limit_milliseconds(double seconds)
{
    return seconds > 0.0 ? (uint64_t) ((seconds < 1e12 ? seconds : 1e12) * 1000.0 + 0.5) : 0;
}

/* Goes on with the entries of another table. */
void limit_adopt(struct limit_table *table, const struct limit_set *sets, size_t size, uint64_t now);

#endif
