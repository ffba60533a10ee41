/*
 * Limits by their keys, without a lock: a process may be killed between any two instructions, and all others go on.
 *
 * A key's hash names two sets of slots; its entry is in one of them. Every word of an entry is changed as a whole by
 * compare-and-exchange, and has the generation of the key that the entry belongs to. Where a key is evicted for another
 * one, a process that still counts for the first fails, and looks it up again.
 *
 * Two processes that make an entry for one key at once must not make two. A slot is claimed first. The entry exists
 * once the claim is committed in the `turn` of the home set, if that has not changed since the key was searched there.
 * A process that is killed in between leaves a claim, which soon expires, or a committed entry, which the next process
 * that finds it completes.
 *
 * A compromised worker can write anything here. So any value of a field is safe, the number of attempts is bounded, and
 * a process that gets no entry takes the limit for exceeded. Entries with times in the future are evicted first.
 */

#include "limit_words.h"
#include "siphash.h"

#include <string.h>

#define TURN_SLOT_MASK ((UINT64_C(1) << 40) - 1)
#define TURN_GENERATION_SHIFT 40
#define SEQUENCE_STEP (UINT64_C(1) << 44)
#define CLAIM_LASTS 1000     /* milliseconds */
#define PENALTY_LASTS 600000 /* milliseconds */

static void place_key(const struct limit_table *table, struct limit_key *key)
{
    size_t home = key->hash % table->size;
    size_t away = (key->hash * UINT64_C(0x9E3779B97F4A7C15) >> 32) % (table->size - 1);

    away = (home + 1 + away) % table->size;
    key->sets[0] = &table->sets[home];
    key->sets[1] = &table->sets[away];
    key->slots[0] = home * SLOTS;
    key->slots[1] = away * SLOTS;
}

void limit_make_key(const struct limit_table *table, const void *text, size_t length, struct limit_key *key)
{
    key->text = text;
    key->length = length;
    key->hash = siphash_2_4(table->secret[0], table->secret[1], text, length) >> LIMIT_HASH_SHIFT;
    key->hash += key->hash == 0;
    place_key(table, key);
}

static struct limit_entry *entry_at(const struct limit_key *key, size_t place)
{
    return &key->sets[place / SLOTS]->entries[place % SLOTS];
}

static uint64_t slot_at(const struct limit_key *key, size_t place)
{
    return key->slots[place / SLOTS] + place % SLOTS;
}

/* Whether the claim of a slot is the one that a turn has committed. */
static int is_committed(uint64_t turn, uint64_t slot, uint64_t tag)
{
    return (turn & TURN_SLOT_MASK) == slot + 1 && generation(turn >> TURN_GENERATION_SHIFT) == generation(tag);
}

/* Completes the entry that a turn has committed: after the next turn nobody would take it for committed. */
static void complete(struct limit_table *table, uint64_t turn)
{
    uint64_t slot = (turn & TURN_SLOT_MASK) - 1, tag, *word;

    if (slot / SLOTS >= table->size) {
        return; /* there has been no turn yet */
    }
    word = &table->sets[slot / SLOTS].entries[slot % SLOTS].tag;
    tag = LIMIT_LOAD(word);
    if ((tag & CLAIMED) && is_committed(turn, slot, tag)) {
        (void) swap(word, tag, tag & ~(uint64_t) CLAIMED);
    }
}

static struct limit_entry *find(const struct limit_key *key, uint64_t turn, uint64_t *tag)
{
    size_t place;

    for (place = 0; place < PLACES; place++) {
        struct limit_entry *entry = entry_at(key, place);
        uint64_t found = LIMIT_LOAD(&entry->tag);

        if (found >> LIMIT_HASH_SHIFT != key->hash) {
            continue;
        }
        if (found & CLAIMED) {
            if (!is_committed(turn, slot_at(key, place), found)) {
                continue;
            }
            (void) swap(&entry->tag, found, found & ~(uint64_t) CLAIMED); /* another process may have completed it */
        }
        *tag = found & ~(uint64_t) CLAIMED;
        return entry;
    }
    return NULL;
}

struct limit_entry *limit_find(const struct limit_key *key, uint64_t *tag)
{
    return find(key, LIMIT_LOAD(&key->sets[0]->turn), tag);
}

/* Whether it says that a client has logged in, or ends such trust: a penalty alone, by a key that begins with NUL. */
static int is_trust(const struct limit_entry *entry, struct limit_penalty penalty)
{
    return penalty.level != 0 && penalty.age < LIMIT_TRUSTED && entry->text[0] != 0 && entry->text[1] == 0;
}

/*
 * The order of eviction: free slots, idle entries, trust that was not renewed for longest, entries that were unused for
 * longest, and bans last, of which the one that ends next. The slot with the highest bid goes first; 0 is a slot that
 * cannot be taken.
 */
#define BID_FREE 5
#define BID_IDLE 4
#define BID_TRUST 3
#define BID_COUNTS 2
#define BID_BANNED 1

static uint64_t bid(int kind, uint64_t rank)
{
    return (uint64_t) kind << 48 | (rank < TIME_MASK ? rank : TIME_MASK);
}

static uint64_t bid_of(const struct limit_table *table, const struct limit_entry *entry, uint64_t tag, uint64_t rate,
                       uint64_t now)
{
    uint64_t age = age_of(last_of(rate), now), left = banned(entry, tag, now), excess = excess_of(rate);
    struct limit_penalty penalty = penalty_in(entry, tag, now);

    if (tag >> LIMIT_HASH_SHIFT == 0) {
        return bid(BID_FREE, 0);
    }
    if (tag & CLAIMED) {
        return age > CLAIM_LASTS ? bid(BID_FREE, 0) : 0;
    }
    if (left != 0) {
        return bid(BID_BANNED, TIME_MASK - (left < TIME_MASK ? left : TIME_MASK));
    }
    if (excess != EXCESS_NONE && generation(rate) == generation(tag) && age != TIME_MASK &&
        lessened(table, excess, (int64_t) age) != 0) {
        return bid(BID_COUNTS, age);
    }
    if (is_trust(entry, penalty)) {
        return bid(BID_TRUST, penalty.age);
    }
    return bid(penalty.level == 0 || penalty.age > PENALTY_LASTS ? BID_IDLE : BID_COUNTS, age);
}

struct offer {
    size_t place;
    uint64_t tag, rate, bid;
};

/* The slot to be taken; of free ones, one in the set that has more of them. */
static struct offer choose(const struct limit_table *table, const struct limit_key *key, uint64_t now)
{
    struct offer best[2] = {{0}, {0}};
    size_t place, set;
    unsigned int free_slots[2] = {0, 0};

    for (place = 0; place < PLACES; place++) {
        const struct limit_entry *entry = entry_at(key, place);
        struct offer offer = {place, LIMIT_LOAD(&entry->tag), LIMIT_LOAD(&entry->rate), 0};

        offer.bid = bid_of(table, entry, offer.tag, offer.rate, now);
        set = place / SLOTS;
        free_slots[set] += offer.bid >> 48 == BID_FREE;
        if (offer.bid > best[set].bid) {
            best[set] = offer;
        }
    }
    set = best[0].bid == best[1].bid ? free_slots[1] > free_slots[0] : best[1].bid > best[0].bid;
    return best[set];
}

static void write_text(struct limit_entry *entry, const struct limit_key *key)
{
    size_t room = TEXT_SIZE - 1, length = key->length < room ? key->length : room;

    entry->text[0] = (unsigned char) (key->length <= room ? key->length : UINT8_MAX);
    memcpy(entry->text + 1, key->text, length);
}

static uint64_t next_turn(uint64_t turn, uint64_t generation, uint64_t slot)
{
    return ((turn & ~(SEQUENCE_STEP - 1)) + SEQUENCE_STEP) | generation << TURN_GENERATION_SHIFT | (slot + 1);
}

/* Makes an entry; NULL where another process has made one in this set since `turn`. */
static struct limit_entry *make(struct limit_table *table, const struct limit_key *key, uint64_t turn, uint64_t now,
                                uint64_t *tag)
{
    struct offer offer = choose(table, key, now);
    struct limit_entry *entry = entry_at(key, offer.place);
    uint64_t next = generation(offer.tag + 1), mine = key->hash << LIMIT_HASH_SHIFT | CLAIMED | next;

    if (offer.bid == 0 || !swap(&entry->rate, offer.rate, rate_word(next, EXCESS_NONE, now)) ||
        !swap(&entry->tag, offer.tag, mine)) {
        return NULL;
    }
    __atomic_store_n(&entry->ban, next, __ATOMIC_SEQ_CST); /* as generations repeat */
    __atomic_store_n(&entry->penalty, next, __ATOMIC_SEQ_CST);
    __atomic_store_n(&entry->seen, 0, __ATOMIC_SEQ_CST);
    complete(table, turn);
    if (!swap(&key->sets[0]->turn, turn, next_turn(turn, next, slot_at(key, offer.place)))) {
        (void) swap(&entry->tag, mine, next);
        return NULL;
    }
    if (offer.bid >> 48 < BID_IDLE) {
        table->dropped++;
        __atomic_add_fetch(&table->header->dropped, 1, __ATOMIC_SEQ_CST);
    }
    write_text(entry, key);
    *tag = mine & ~(uint64_t) CLAIMED;
    (void) swap(&entry->tag, mine, *tag);
    return entry;
}

struct limit_entry *limit_make_entry(struct limit_table *table, const struct limit_key *key, uint64_t now,
                                     uint64_t *tag)
{
    int tries;

    for (tries = 0; tries < TRIES; tries++) {
        uint64_t turn = LIMIT_LOAD(&key->sets[0]->turn);
        struct limit_entry *entry = find(key, turn, tag);

        if (entry == NULL) {
            entry = make(table, key, turn, now, tag);
        }
        if (entry != NULL) {
            return entry;
        }
    }
    return NULL;
}

/* Copies an entry unless it is idle. Other processes may still use the former table, but none this one. */
static void adopt(struct limit_table *table, const struct limit_entry *other, uint64_t now)
{
    struct limit_entry copy = *other, *former = &copy, *entry;
    uint64_t tag = former->tag, own;
    struct limit_key key = {.text = former->text, .length = 0, .hash = tag >> LIMIT_HASH_SHIFT};

    if (tag >> LIMIT_HASH_SHIFT == 0 || (tag & CLAIMED) ||
        bid_of(table, former, tag, former->rate, now) >> 48 >= BID_IDLE) {
        return;
    }
    place_key(table, &key);
    entry = limit_make_entry(table, &key, now, &own);
    if (entry == NULL) {
        return;
    }
    if (generation(former->rate) == generation(tag)) {
        entry->rate = (former->rate & ~(uint64_t) GENERATION) | generation(own);
    }
    if (generation(former->ban) == generation(tag)) {
        entry->ban = (former->ban & UNTIL_MAX << UNTIL_SHIFT) | generation(own);
    }
    if (generation(former->penalty) == generation(tag)) {
        entry->penalty = (former->penalty & ~(uint64_t) GENERATION) | generation(own);
    }
    entry->seen = former->seen;
    memcpy(entry->text, former->text, TEXT_SIZE);
}

void limit_adopt(struct limit_table *table, const struct limit_set *sets, size_t size, uint64_t now)
{
    size_t set, slot;

    for (set = 0; set < size; set++) {
        for (slot = 0; slot < SLOTS; slot++) {
            adopt(table, &sets[set].entries[slot], now);
        }
    }
}
