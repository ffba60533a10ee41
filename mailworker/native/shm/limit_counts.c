/* What the entries of a table count: requests, failures, penalties and bans. Each word is changed by itself. */

#include "limit_words.h"
#include "siphash.h"

uint64_t limit_ban_of(const struct limit_key *key, uint64_t now)
{
    uint64_t tag;
    struct limit_entry *entry = limit_find(key, &tag);

    return entry == NULL ? 0 : banned(entry, tag, now);
}

struct limit_penalty limit_penalty_of(const struct limit_key *key, uint64_t now)
{
    uint64_t tag;
    struct limit_entry *entry = limit_find(key, &tag);

    return entry == NULL ? (struct limit_penalty){0, 0} : penalty_in(entry, tag, now);
}

/*
 * Adds to the number of requests that are not settled yet, or begins it anew: a process that is killed leaves one too
 * many until the key is idle.
 */
static void add_pending(struct limit_entry *entry, uint64_t tag, int change, int anew)
{
    int tries;

    for (tries = 0; tries < TRIES; tries++) {
        uint64_t ban = LIMIT_LOAD(&entry->ban), pending = anew ? 0 : ban >> PENDING_SHIFT;

        if (generation(ban) != generation(tag)) {
            return; /* the slot has become another key's */
        }
        pending = change > 0 ? pending + (pending < PENDING_MAX) : pending - (pending > 0);
        if (swap(&entry->ban, ban, (ban & ((UINT64_C(1) << PENDING_SHIFT) - 1)) | pending << PENDING_SHIFT)) {
            return;
        }
    }
}

int64_t limit_take(struct limit_table *table, const struct limit_key *key, uint64_t now, uint64_t burst)
{
    int tries;

    for (tries = 0; tries < TRIES; tries++) {
        uint64_t tag, rate, excess, last;
        struct limit_entry *entry = limit_make_entry(table, key, now, &tag);
        int64_t age;

        if (entry == NULL) {
            break;
        }
        rate = LIMIT_LOAD(&entry->rate);
        if (generation(rate) != generation(tag)) {
            if (LIMIT_LOAD(&entry->tag) == tag) { /* another process is taking the slot, or was killed then */
                (void) swap(&entry->rate, rate, rate_word(tag, EXCESS_NONE, now));
            }
            continue;
        }
        age = between(last_of(rate), now);
        last = age < -BACKWARDS || age > 0 ? now : last_of(rate);
        excess = excess_of(rate);
        if (excess == EXCESS_NONE) {
            excess = 0;
            last = now;
        } else {
            /* As in nginx, an excess never falls below 0. */
            excess = lessened(table, excess + REQUEST, age);
        }
        if (excess > burst || excess > EXCESS_MAX) {
            return -1 - (int64_t) excess;
        }
        if (swap(&entry->rate, rate, rate_word(tag, excess, last))) {
            add_pending(entry, tag, 1, excess == 0);
            return (int64_t) excess;
        }
    }
    return -1 - EXCESS_MAX;
}

/* The word with one request less. Below 0 the time moves back, so the next request finds it so. */
static uint64_t given_back(const struct limit_table *table, uint64_t tag, uint64_t rate)
{
    uint64_t excess = excess_of(rate), earlier;

    if (excess >= REQUEST) {
        return rate_word(tag, excess - REQUEST, last_of(rate));
    }
    earlier = ((REQUEST - excess) * table->period + table->gain - 1) / table->gain;
    return rate_word(tag, 0, last_of(rate) - earlier);
}

void limit_settle(const struct limit_key *key)
{
    uint64_t tag;
    struct limit_entry *entry = limit_find(key, &tag);

    if (entry != NULL) {
        add_pending(entry, tag, -1, 0);
    }
}

uint64_t limit_pending(const struct limit_key *key)
{
    uint64_t tag, ban;
    struct limit_entry *entry = limit_find(key, &tag);

    if (entry == NULL) {
        return 0;
    }
    ban = LIMIT_LOAD(&entry->ban);
    return generation(ban) == generation(tag) ? ban >> PENDING_SHIFT : 0;
}

void limit_give_back(const struct limit_table *table, const struct limit_key *key)
{
    int tries;

    for (tries = 0; tries < TRIES; tries++) {
        uint64_t tag, rate;
        struct limit_entry *entry = limit_find(key, &tag);

        if (entry == NULL) {
            return;
        }
        if (tries == 0) {
            add_pending(entry, tag, -1, 0);
        }
        rate = LIMIT_LOAD(&entry->rate);
        if (generation(rate) != generation(tag) || excess_of(rate) == EXCESS_NONE ||
            swap(&entry->rate, rate, given_back(table, tag, rate))) {
            return;
        }
    }
}

int limit_repeats(const struct limit_table *table, const struct limit_key *key, const void *what, size_t length)
{
    uint64_t tag, mark = siphash_2_4(table->secret[2] ^ key->hash, table->secret[3], what, length) & 0xFFFF;
    struct limit_entry *entry = limit_find(key, &tag);
    int tries, lane;

    mark += mark == 0;
    for (tries = 0; entry != NULL && tries < TRIES; tries++) {
        uint64_t seen = LIMIT_LOAD(&entry->seen);

        for (lane = 0; lane < 4; lane++) {
            if ((seen >> 16 * lane & 0xFFFF) == mark) {
                return 1;
            }
        }
        if (swap(&entry->seen, seen, seen << 16 | mark)) {
            return 0;
        }
    }
    return 0;
}

int limit_set_ban(struct limit_entry *entry, uint64_t tag, uint64_t until)
{
    int tries;

    for (tries = 0; tries < TRIES; tries++) {
        uint64_t ban = LIMIT_LOAD(&entry->ban), pending = generation(ban) == generation(tag) ? ban >> PENDING_SHIFT : 0;

        if (LIMIT_LOAD(&entry->tag) != tag) {
            return 0;
        }
        if (swap(&entry->ban, ban,
                 pending << PENDING_SHIFT | (until < UNTIL_MAX ? until : UNTIL_MAX) << UNTIL_SHIFT | generation(tag))) {
            return 1;
        }
    }
    return 0;
}

void limit_punish(struct limit_table *table, const struct limit_key *key, uint64_t level, uint64_t now)
{
    uint64_t tag, word;
    struct limit_entry *entry = level == 0 ? limit_find(key, &tag) : limit_make_entry(table, key, now, &tag);

    if (entry == NULL) {
        return;
    }
    word = LIMIT_LOAD(&entry->penalty);
    if (LIMIT_LOAD(&entry->tag) == tag) { /* of two processes at once, one succeeds */
        (void) swap(&entry->penalty, word,
                    (now & TIME_MASK) << WHEN_SHIFT | (level < LEVEL_MAX ? level : LEVEL_MAX) << LEVEL_SHIFT |
                        generation(tag));
    }
}
