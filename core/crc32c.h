/* CRC32C (Castagnoli), the checksum of the journal. It finds every single damaged byte and every
 * burst of up to 32 bits; it is no defence against somebody who changes data on purpose. */
#ifndef TROTH_CORE_CRC32C_H
#define TROTH_CORE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from `crc`, which is 0 at the start: crc32c(crc32c(0, a), b) is the CRC of a and b. Uses
 * the processor's instruction where there is one. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t size);
/* The same with tables only: for processors without the instruction. */
uint32_t crc32c_tables(uint32_t crc, const void *bytes, size_t size);

#endif
