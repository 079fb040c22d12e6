#include "saga/retry.h"

uint64_t saga_retry_pause(const struct saga_retry *retry, int tried, uint64_t random)
{
    uint64_t pause = retry->initial_us;
    /* A pause is at most a hundred years and a factor a hundred: no product overflows. */
    for (int i = 1; i < tried && pause < retry->max_us && retry->factor_permille > 1000; i++)
        pause =
            pause / 1000 * retry->factor_permille + pause % 1000 * retry->factor_permille / 1000;
    if (pause > retry->max_us)
        pause = retry->max_us;
    uint64_t most = pause / 1000 * retry->jitter_permille;
    return most ? pause - most + random % (2 * most + 1) : pause;
}
