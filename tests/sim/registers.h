/* The oracle of three-phase transactions. It sees every durable change of every register, in the
 * databases and in the coordinators' journals, and knows what is decided: what half of the
 * sites has accepted at one ballot. Nobody may act, or tell a client, otherwise. */
#ifndef TROTH_TESTS_SIM_REGISTERS_H
#define TROTH_TESTS_SIM_REGISTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/ports.h"
#include "core/register.h"
#include "tests/sim/world.h"

struct registers;

struct registers_count {
    int begun;      /* transactions of which some branch was begun in a database */
    int proposed;   /* the coordinator's proposal became durable */
    int committed;  /* decided commit */
    int aborted;    /* decided abort; others their coordinator aborted alone */
    int terminated; /* of those decided: at a ballot of a participant */
    int alone;      /* some branch was ended while its coordinator was away */
    int orphans;    /* likewise, for good, and no process was left that knew of it */
    /* Acceptances that were to be committed with: */
    int accepted, refused, unsure; /* how often that was answered so */
    int lost;                      /* rows that were inserted so, and gone after a crash */
};

struct registers *registers_new(struct world *world);
void registers_free(struct registers *registers);

/* Work of it was given to a database. sites: a bit a participant; 0: not known from this. */
void registers_begun(struct registers *registers, const char *gtrid, uint32_t participants);
/* It is prepared there, with that list of who takes part. */
void registers_prepared(struct registers *registers, int participant, const char *gtrid,
                        const char *sites);
/* The register at that participant is durably so. */
void registers_stored(struct registers *registers, int participant, const char *gtrid,
                      const struct register_state *state);
/* A row was lost that nobody was told of. */
void registers_row_lost(struct registers *registers);
/* An agent is told what came of an acceptance that was to be committed with. */
void registers_committed(struct registers *registers, enum db_accepted accepted);
/* A record of that coordinator's journal is durable. */
void registers_journaled(struct registers *registers, int coordinator, const void *record,
                         size_t size);
/* The participant is about to carry this out, on a branch that is prepared. */
void registers_finishing(struct registers *registers, int participant, const char *gtrid,
                         bool commit);
/* Somebody ends a branch of it by hand. */
void registers_meddled(struct registers *registers, const char *gtrid);
void registers_settling(struct registers *registers, const char *gtrid);
/* A client is told how it ended. */
void registers_told(struct registers *registers, const char *gtrid, bool committed);

/* Somebody who looks is shown that it is decided so, or that this site's register was so: it was
 * once, durably. */
void registers_shown_decided(struct registers *registers, const char *gtrid, uint8_t value);
void registers_shown(struct registers *registers, const char *gtrid, const char *site,
                     const struct register_state *state);

/* What enough sites have accepted. */
enum register_value registers_decision(const struct registers *registers, const char *gtrid);
/* It has one participant, as far as is known: without its coordinator there is no majority. */
bool registers_lonely(const struct registers *registers, const char *gtrid);
struct registers_count registers_count(const struct registers *registers);
const char *registers_word(uint8_t value);

#endif
