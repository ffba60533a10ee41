/* Entries of limits by their keys, which many processes change at once; see limit_table.c. */

#ifndef MAILWORKER_LIMIT_TABLE_H
#define MAILWORKER_LIMIT_TABLE_H

#include <stddef.h>
#include <stdint.h>

#define SLOTS 8 /* of a set */
#define PLACES (2 * SLOTS) /* where an entry can be */
#define REQUEST 1000 /* thousandths */
#define MILLISECONDS 1000.0 /* of a second */
#define TEXT_SIZE 56 /* bytes: a length, and as much of the key as there is room for */

/* An entry; each word is changed as a whole. */
struct limit_entry {
    uint64_t tag;     /* hash 59 bits | claimed 1 | generation 4; no hash: it is free */
    uint64_t rate;    /* last 37 bits | excess 23 | generation 4 */
    uint64_t ban;     /* pending 20 bits | until 40 | generation 4 */
    uint64_t penalty; /* when 37 bits | level 8 | generation 4 */
    uint64_t seen;    /* four marks of 16 bits */
    unsigned char text[TEXT_SIZE];
};

struct limit_set {
    uint64_t turn; /* sequence 20 bits | generation 4 | slot of the table + 1, 40: the last entry that was made here */
    struct limit_entry entries[SLOTS];
};

struct limit_header {
    uint64_t dropped; /* entries that were evicted though they still counted */
    uint64_t unused[7];
};

struct limit_table {
    struct limit_header *header;
    struct limit_set *sets;
    size_t size; /* of sets */
    uint64_t secret[4]; /* keys of the hash, and of marks */
    uint64_t gain, period; /* an excess falls by gain / period thousandths in a millisecond */
    uint64_t dropped; /* by this process */
};

struct limit_key {
    const unsigned char *text;
    size_t length;
    uint64_t hash;
    struct limit_set *sets[2]; /* the first is the home set */
    uint64_t slots[2]; /* of the table, with which the sets begin */
};

#define LIMIT_HASH_SHIFT 5 /* of a tag */

/* The excess of an entry without a request, and the largest excess. */
#define EXCESS_NONE 0x7FFFFF
#define EXCESS_MAX (EXCESS_NONE - 1)

void limit_make_key(const struct limit_table *table, const void *text, size_t length, struct limit_key *key);

/* Milliseconds for which a client that has logged in is trusted; see shm/attempts.py. */
#define LIMIT_TRUSTED 2592000000u

/* The entry of a key, with its tag; NULL without one. Times are in milliseconds. */
struct limit_entry *limit_find(const struct limit_key *key, uint64_t *tag);

/* The same, but makes a missing entry; NULL where other processes were faster again and again, or corrupt the table. */
struct limit_entry *limit_make_entry(struct limit_table *table, const struct limit_key *key, uint64_t now,
                                     uint64_t *tag);

/* Adds a request and gives the excess; where that is above `burst`, changes nothing and gives -1 - excess. */
int64_t limit_take(struct limit_table *table, const struct limit_key *key, uint64_t now, uint64_t burst);
void limit_give_back(const struct limit_table *table, const struct limit_key *key);

/* A request is pending from when it is added until it is given back, or settled because it counts for good. */
void limit_settle(const struct limit_key *key);
uint64_t limit_pending(const struct limit_key *key);

/* Milliseconds that a key's ban still lasts, 0 without one. */
uint64_t limit_ban_of(const struct limit_key *key, uint64_t now);

/* 0 where the entry has become another key's. */
int limit_set_ban(struct limit_entry *entry, uint64_t tag, uint64_t until);

/* Whether `what` is among the last four of the key, by a mark; else adds it. */
int limit_repeats(const struct limit_table *table, const struct limit_key *key, const void *what, size_t length);

/* A key's penalty; both are 0 where it has no entry, and the level where the word's generation is not the tag's. */
struct limit_penalty {
    uint64_t level, age;
};
struct limit_penalty limit_penalty_of(const struct limit_key *key, uint64_t now);

/* Sets the level of a key's penalty; level 0 makes no entry. */
void limit_punish(struct limit_table *table, const struct limit_key *key, uint64_t level, uint64_t now);

#define LIMIT_LOAD(word) __atomic_load_n(word, __ATOMIC_SEQ_CST)

/* Converts seconds, which may be any number. */
static inline uint64_t limit_milliseconds(double seconds)
{
    return seconds > 0.0 ? (uint64_t) ((seconds < 1e12 ? seconds : 1e12) * MILLISECONDS + 0.5) : 0;
}

/* Copies the entries of another table. */
void limit_adopt(struct limit_table *table, const struct limit_set *sets, size_t size, uint64_t now);

#endif
