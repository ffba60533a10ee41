/* The words of an entry, and their values; see limit_table.c. */

#ifndef MAILWORKER_LIMIT_WORDS_H
#define MAILWORKER_LIMIT_WORDS_H

#include "limit_table.h"

#define GENERATION 0xFu
#define CLAIMED 0x10u
#define EXCESS_SHIFT 4
#define LAST_SHIFT 27
#define TIME_BITS 37
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)
#define LEVEL_SHIFT 4
#define LEVEL_MAX 0xFFu
#define WHEN_SHIFT 12
#define UNTIL_SHIFT 4
#define UNTIL_MAX ((UINT64_C(1) << 40) - 1)
#define PENDING_SHIFT 44
#define PENDING_MAX ((UINT64_C(1) << 20) - 1)

#define TRIES 100
#define BACKWARDS 60000 /* milliseconds; a clock that is further back was reset (nginx) */

static inline int swap(uint64_t *word, uint64_t before, uint64_t after)
{
    return __atomic_compare_exchange_n(word, &before, after, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static inline uint64_t generation(uint64_t word)
{
    return word & GENERATION;
}

/* From `then` to `now`, which may be earlier. */
static inline int64_t between(uint64_t then, uint64_t now)
{
    uint64_t apart = (now - then) & TIME_MASK;

    return apart >> (TIME_BITS - 1) ? (int64_t) apart - (int64_t) (TIME_MASK + 1) : (int64_t) apart;
}

/* As an age: a time in the future counts as older than all others. */
static inline uint64_t age_of(uint64_t then, uint64_t now)
{
    int64_t age = between(then, now);

    return age >= 0 ? (uint64_t) age : age < -BACKWARDS ? TIME_MASK : 0;
}

static inline uint64_t last_of(uint64_t rate)
{
    return rate >> LAST_SHIFT & TIME_MASK;
}

static inline uint64_t excess_of(uint64_t rate)
{
    return rate >> EXCESS_SHIFT & EXCESS_NONE;
}

static inline uint64_t rate_word(uint64_t tag, uint64_t excess, uint64_t last)
{
    return (last & TIME_MASK) << LAST_SHIFT | excess << EXCESS_SHIFT | generation(tag);
}

/* What is left of an excess after `age` milliseconds without a request. */
static inline uint64_t lessened(const struct limit_table *table, uint64_t excess, int64_t age)
{
    uint64_t fall;

    if (age < -BACKWARDS) {
        age = 1;
    } else if (age < 0) {
        age = 0;
    }
    if ((uint64_t) age > UINT64_MAX / table->gain) {
        return 0;
    }
    fall = table->gain * (uint64_t) age / table->period;
    return fall >= excess ? 0 : excess - fall;
}

static inline uint64_t banned(const struct limit_entry *entry, uint64_t tag, uint64_t now)
{
    uint64_t ban = LIMIT_LOAD(&entry->ban), until = ban >> UNTIL_SHIFT & UNTIL_MAX;

    return generation(ban) == generation(tag) && until > now ? until - now : 0;
}

static inline struct limit_penalty penalty_in(const struct limit_entry *entry, uint64_t tag, uint64_t now)
{
    uint64_t word = LIMIT_LOAD(&entry->penalty);
    struct limit_penalty penalty = {word >> LEVEL_SHIFT & LEVEL_MAX, age_of(word >> WHEN_SHIFT & TIME_MASK, now)};

    if (generation(word) != generation(tag)) {
        penalty.level = 0;
    }
    return penalty;
}

#endif
