/* SHA-256 (FIPS 180-4): the identity of a definition. A saga that is recovered runs by the text
 * that it began with, found by this; so two texts must not have the same by accident or on purpose,
 * which rules out the hashes of core/map.h. */
#ifndef TROTH_SAGA_DIGEST_H
#define TROTH_SAGA_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 32 };

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

typedef char digest_text[2 * DIGEST_BYTES + 1];

struct digest digest_of(const void *bytes, size_t size);
/* Hexadecimal, small letters. Returns out. */
const char *digest_format(digest_text out, const struct digest *digest);

#endif
