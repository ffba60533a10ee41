/* SipHash-2-4; shm/siphash.py has it in Python. */

#ifndef MAILWORKER_SIPHASH_H
#define MAILWORKER_SIPHASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t siphash_rotate(uint64_t word, int bits)
{
    return word << bits | word >> (64 - bits);
}

static inline void siphash_rounds(uint64_t v[4], int rounds)
{
    while (rounds-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = siphash_rotate(v[1], 13) ^ v[0];
        v[3] = siphash_rotate(v[3], 16) ^ v[2];
        v[0] = siphash_rotate(v[0], 32) + v[3];
        v[2] += v[1];
        v[3] = siphash_rotate(v[3], 21) ^ v[0];
        v[1] = siphash_rotate(v[1], 17) ^ v[2];
        v[2] = siphash_rotate(v[2], 32);
    }
}

/* The next eight bytes as a number whose lowest byte comes first. */
static inline uint64_t siphash_word(const unsigned char *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static inline uint64_t siphash_2_4(uint64_t low, uint64_t high, const void *data, size_t length)
{
    uint64_t v[4] = {low ^ 0x736f6d6570736575, high ^ 0x646f72616e646f6d, low ^ 0x6c7967656e657261,
                     high ^ 0x7465646279746573};
    const unsigned char *next = data;
    uint64_t word, last = (uint64_t) length << 56;

    for (; length >= sizeof(word); length -= sizeof(word), next += sizeof(word)) {
        word = siphash_word(next);
        v[3] ^= word;
        siphash_rounds(v, 2);
        v[0] ^= word;
    }
    while (length-- > 0) {
        last |= (uint64_t) next[length] << 8 * length;
    }
    v[3] ^= last;
    siphash_rounds(v, 2);
    v[0] ^= last;
    v[2] ^= 0xff;
    siphash_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

#endif
