/* The only source of chance in a simulated run: splitmix64 from the seed. */
#ifndef TROTH_TESTS_SIM_RNG_H
#define TROTH_TESTS_SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
    uint64_t state;
};

#define PPM (1000 * 1000)

static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t z = rng->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0 ... bound - 1. The bias of the multiplication is of no weight here. */
static inline uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)rng_next(rng) * bound) >> 64);
}

static inline uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high)
{
    return low + rng_below(rng, high - low + 1);
}

/* A chance of 0 draws nothing, so that a run without faults is not disturbed by them. */
static inline bool rng_chance(struct rng *rng, uint32_t ppm)
{
    return ppm > 0 && rng_below(rng, PPM) < ppm;
}

#endif
