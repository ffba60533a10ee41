/*
 * The session cache that all workers share, without a lock.
 *
 * The table is set-associative: a session's id names two sets of slots, and the session is in one of them. A record is
 *
 *     checksum, 8 bytes | length of the text, 2 | where the id was cut out of the text, 2 | text
 *
 * and takes one slot. A longer record, of a session with a client's certificate, goes on in the two sets after those.
 *
 * OpenSSL's encoding of a session contains the id; it is cut out, because a look-up has it anyway. The checksum covers
 * the id, the expiry and the record. So a slot that was half written, by a process that was killed or by two at once,
 * is no session, and neither is a slot of another id with the same tag.
 *
 * A compromised worker can write anything here, with valid checksums. So no bound is taken from the table unchecked,
 * and sessions that claim to be stored in the future are replaced before all others that are in use.
 */

#include "openssl.h"
#include "siphash.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

#define TICKS 8 /* in a second: fine enough to find the oldest, and 32 bits of them are 17 years */
#define LATEST UINT32_MAX
#define ID_NOT_FOUND 0xFFFF
#define PARTS_MAX ((HEADER_SIZE + SESSION_SIZE_MAX + CELL_SIZE - 1) / CELL_SIZE) /* of a record */

struct record {
    uint64_t checksum;
    uint16_t length, cut;
    unsigned char text[SESSION_SIZE_MAX + CELL_SIZE]; /* the last cell of a record is copied whole */
};

#define HEADER_SIZE ((int) offsetof(struct record, text))
_Static_assert(HEADER_SIZE == 12, "it is the layout that other processes have");

/* Where the parts of a record can be, one after the other, and the key of its checksum. */
struct route {
    uint32_t first, apart, number;
    uint64_t id_hash;
};

struct place {
    uint32_t tag;
    struct slot_set *sets[2];
};

uint64_t siphash(uint64_t low, uint64_t high, const void *data, size_t length)
{
    return siphash_2_4(low, high, data, length);
}

int slot_find(const struct slot_set *set, uint32_t tag)
{
    int slot;

    for (slot = 0; slot < SLOTS; slot++) {
        if (set->tags[slot] == tag) {
            return slot;
        }
    }
    return -1;
}

/* When a slot was stored, 0 for an impossible time; the clocks of processors may differ a little. */
static uint32_t time_stored(const struct slot_set *set, int slot, uint32_t now)
{
    uint32_t stored = set->stored[slot];

    return stored > now && stored - now > TICKS ? 0 : stored;
}

struct slot_offer slot_offer(const struct slot_set *set, uint32_t now, uint32_t near)
{
    int empty = -1, empties = 0, earliest = 0, oldest = 0;
    uint32_t i, oldest_time = time_stored(set, 0, now);

    for (i = 0; i < SLOTS; i++) {
        int slot = (int) ((near + i) % SLOTS);
        uint32_t stored = time_stored(set, slot, now);

        if (set->expiries[slot] == 0 && empties++ == 0) {
            empty = slot;
        }
        if (set->expiries[slot] < set->expiries[earliest]) {
            earliest = slot;
        }
        if (stored < oldest_time) {
            oldest = slot;
            oldest_time = stored;
        }
    }
    if (empties > 0) {
        return (struct slot_offer){0, (uint32_t) (SLOTS - empties), empty};
    }
    if (set->expiries[earliest] <= now) {
        return (struct slot_offer){1, set->expiries[earliest], earliest};
    }
    return (struct slot_offer){2, oldest_time, oldest};
}

void slot_fill(struct slot_set *set, int slot, uint32_t tag, uint32_t expiry, uint32_t now, const void *cell,
               size_t length)
{
    memcpy(set->cells[slot], cell, length);
    memset(set->cells[slot] + length, 0, CELL_SIZE - length);
    set->expiries[slot] = expiry;
    set->stored[slot] = now;
    set->tags[slot] = tag;
}

/* The ids of stored sessions are OpenSSL's random numbers, so no client can fill a set by choosing ids. */
static struct route route_of(const struct tls_session_table *table, const unsigned char *id, int id_length)
{
    uint64_t where = siphash(0, 1, id, (size_t) id_length);
    struct route route = {(uint32_t) where, 0, 0, siphash(0, 2, id, (size_t) id_length)};

    route.apart = 1 + (uint32_t) (where >> 32) % (table->count - 1); /* so that there are always two sets */
    route.number = (uint32_t) route.id_hash;
    return route;
}

static struct place next_place(const struct tls_session_table *table, struct route *route)
{
    uint64_t first = route->first++;
    uint32_t tag = 1 + route->number++ % UINT32_MAX; /* never that of an empty slot */

    return (struct place){tag,
                          {&table->sets[first % table->count], &table->sets[(first + route->apart) % table->count]}};
}

/* The slot that holds a part, and its set; -1 where it is lost. */
static int find(const struct place *place, struct slot_set **set)
{
    int slot = slot_find(*set = place->sets[0], place->tag);

    return slot >= 0 ? slot : slot_find(*set = place->sets[1], place->tag);
}

/* The slot that has this tag already, or else the better offer of the two sets. */
static int take(const struct place *place, uint32_t now, struct slot_set **set)
{
    struct slot_offer here, there;
    int slot = find(place, set);

    if (slot >= 0) {
        return slot;
    }
    here = slot_offer(place->sets[0], now, place->tag);
    there = slot_offer(place->sets[1], now, place->tag);
    if (here.kind < there.kind || (here.kind == there.kind && here.value <= there.value)) {
        *set = place->sets[0];
        return here.slot;
    }
    *set = place->sets[1];
    return there.slot;
}

static uint64_t checksum(const struct route *route, uint32_t expiry, const struct record *record)
{
    uint64_t header = (uint64_t) expiry << 32 | (uint32_t) record->length << 16 | record->cut;

    return siphash(route->id_hash, header, record->text, record->length);
}

/* The offset of the id in a session; ID_NOT_FOUND where it is not there. */
static uint16_t find_id(const unsigned char *id, int id_length, const unsigned char *session, int length)
{
    int at;

    for (at = 0; at + id_length <= length; at++) {
        if (memcmp(session + at, id, (size_t) id_length) == 0) {
            return (uint16_t) at;
        }
    }
    return ID_NOT_FOUND;
}

void table_store(const struct tls_session_table *table, const unsigned char *id, int id_length,
                 const unsigned char *session, int length, uint32_t now)
{
    struct route route = route_of(table, id, id_length);
    uint32_t expiry = table->lifetime < LATEST - now ? now + table->lifetime : LATEST;
    struct record record;
    size_t start, size, kept;

    if (length < 0 || length > SESSION_SIZE_MAX) {
        return;
    }
    record.cut = find_id(id, id_length, session, length);
    record.length = (uint16_t) (record.cut == ID_NOT_FOUND ? length : length - id_length);
    kept = record.cut == ID_NOT_FOUND ? record.length : record.cut;
    memcpy(record.text, session, kept);
    memcpy(record.text + kept, session + length - (record.length - kept), record.length - kept);
    record.checksum = checksum(&route, expiry, &record);
    size = HEADER_SIZE + record.length;
    for (start = 0; start < size; start += CELL_SIZE) {
        struct place place = next_place(table, &route);
        struct slot_set *set;
        int slot = take(&place, now, &set);

        slot_fill(set, slot, place.tag, expiry, now, (unsigned char *) &record + start,
                  size - start < CELL_SIZE ? size - start : CELL_SIZE);
    }
    OPENSSL_cleanse(&record, size);
}

/* Copies the record's cells; only the copy, which no process changes, is checked afterwards. 0: lost, or expired. */
static size_t collect(const struct tls_session_table *table, struct route route, uint32_t now, uint32_t *expiry,
                      struct record *record)
{
    size_t size = HEADER_SIZE, collected = 0;

    while (collected < size) {
        struct place place = next_place(table, &route);
        struct slot_set *set;
        int slot = find(&place, &set);

        if (slot < 0) {
            return 0;
        }
        memcpy((unsigned char *) record + collected, set->cells[slot], CELL_SIZE);
        if (collected == 0) {
            *expiry = set->expiries[slot];
        }
        atomic_signal_fence(memory_order_seq_cst); /* the compiler must not read the slot again */
        collected += CELL_SIZE;
        size = HEADER_SIZE + record->length;
        if (*expiry <= now || record->length > SESSION_SIZE_MAX) {
            return 0;
        }
    }
    return size;
}

int table_load(const struct tls_session_table *table, const unsigned char *id, int id_length, unsigned char *session,
               int size, uint32_t now)
{
    struct route route = route_of(table, id, id_length);
    uint32_t expiry = LATEST;
    struct record record;
    size_t collected = collect(table, route, now, &expiry, &record);
    int result = -1;

    if (expiry <= now) {
        table_remove(table, id, id_length);
    }
    if (collected == 0) {
        return -1;
    }
    if (record.checksum == checksum(&route, expiry, &record)) {
        if (record.cut == ID_NOT_FOUND && record.length <= size) {
            memcpy(session, record.text, record.length);
            result = record.length;
        } else if (record.cut <= record.length && record.length + id_length <= size) {
            memcpy(session, record.text, record.cut);
            memcpy(session + record.cut, id, (size_t) id_length);
            memcpy(session + record.cut + id_length, record.text + record.cut, (size_t) (record.length - record.cut));
            result = record.length + id_length;
        }
    }
    OPENSSL_cleanse(&record, collected);
    return result;
}

void table_remove(const struct tls_session_table *table, const unsigned char *id, int id_length)
{
    struct route route = route_of(table, id, id_length);
    struct slot_set *set;
    int part;

    for (part = 0; part < PARTS_MAX; part++) {
        struct place place = next_place(table, &route);
        int slot = find(&place, &set);

        if (slot < 0) {
            return;
        }
        slot_fill(set, slot, 0, 0, 0, "", 0);
    }
}

uint32_t table_ticks(double seconds)
{
    double ticks = seconds * TICKS + 1;

    return ticks < (double) LATEST ? (uint32_t) ticks : LATEST;
}

uint32_t table_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return table_ticks((double) now.tv_sec + (double) now.tv_nsec / 1e9);
}
