#include "tests/sim/registers.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/id.h"
#include "core/map.h"
#include "journal.pb-c.h"
#include "participant/sites.h"
#include "tests/sim/cluster.h"
#include "tests/sim/database.h"
#include "tests/sim/node.h"
#include "tests/sim/order_book.h"

enum { COORDINATOR = 0, SITES = 1 + MAX_PARTICIPANTS };

/* Who has accepted what at one ballot: a bit a site. */
struct acceptance {
    struct ballot ballot;
    uint8_t value;
    uint32_t sites;
};

struct transaction {
    struct map_node node;
    gtrid_text gtrid;
    uint32_t sites;    /* the coordinator is bit 0, participant i is bit i + 1; 0: not known */
    uint32_t prepared; /* likewise: where it was */
    bool begun, proposed, meddled;
    bool alone;  /* a branch was ended while the coordinator was away */
    bool orphan; /* likewise, for good, and every agent had died since its branch was prepared */
    uint64_t boots[SITES]; /* by bit: the agent's when its branch was prepared */
    bool undecided_end;    /* some branch or client saw it aborted, and nobody had decided */
    uint32_t committed, rolled_back;
    struct register_state held[SITES]; /* by bit */
    struct acceptance *acceptances;
    size_t acceptance_count, acceptance_room;
    uint8_t decision;
    struct ballot decided_at;
};

struct registers {
    struct world *world;
    struct map transactions;
    int accepts[DB_ACCEPT_UNKNOWN + 1], lost;
};

struct registers *registers_new(struct world *world)
{
    struct registers *registers = xcalloc(1, sizeof(*registers));
    registers->world = world;
    return registers;
}

void registers_free(struct registers *registers)
{
    for (struct map_node *node = map_next(&registers->transactions, NULL), *next; node;
         node = next) {
        struct transaction *transaction = CONTAINER(node, struct transaction, node);
        next = map_next(&registers->transactions, node);
        map_remove(&registers->transactions, node);
        free(transaction->acceptances);
        free(transaction);
    }
    map_fini(&registers->transactions);
    free(registers);
}

static bool has_gtrid(const struct map_node *node, const void *gtrid)
{
    return strcmp(CONTAINER(node, struct transaction, node)->gtrid, gtrid) == 0;
}

static struct transaction *find(const struct registers *registers, const char *gtrid)
{
    struct map_node *node =
        map_find(&registers->transactions, hash_bytes(gtrid, strlen(gtrid)), has_gtrid, gtrid);
    return node ? CONTAINER(node, struct transaction, node) : NULL;
}

static struct transaction *find_or_add(struct registers *registers, const char *gtrid)
{
    struct transaction *transaction = find(registers, gtrid);
    if (transaction)
        return transaction;
    transaction = xcalloc(1, sizeof(*transaction));
    CHECK(strlen(gtrid) < sizeof(transaction->gtrid));
    strcpy(transaction->gtrid, gtrid);
    map_insert(&registers->transactions, &transaction->node, hash_bytes(gtrid, strlen(gtrid)));
    return transaction;
}

const char *registers_word(uint8_t value)
{
    return value == REGISTER_COMMIT ? "commit" : value == REGISTER_ABORT ? "abort" : "nothing";
}

static const char *name_of(int site)
{
    static const char *const names[SITES] = {"its coordinator", "p0", "p1", "p2", "p3", "p4"};
    return names[site];
}

/* ---- what is decided ---- */

/* No majority is without one of them. */
static bool are_enough(const struct transaction *transaction, uint32_t sites)
{
    return transaction->sites != 0 && 2 * __builtin_popcount(sites & transaction->sites) >=
                                          __builtin_popcount(transaction->sites);
}

static void decided(struct registers *registers, struct transaction *transaction,
                    const struct acceptance *acceptance)
{
    struct world *world = registers->world;
    if (transaction->decision == acceptance->value)
        return;
    if (transaction->decision != REGISTER_EMPTY) {
        world_violation(world, "%s: enough accepted %s, and enough %s", transaction->gtrid,
                        registers_word(transaction->decision), registers_word(acceptance->value));
        return;
    }
    transaction->decision = acceptance->value;
    transaction->decided_at = acceptance->ballot;
    world_note(world, acceptance->value, "%s is decided: %s, at ballot %u.%u", transaction->gtrid,
               registers_word(acceptance->value), acceptance->ballot.round,
               acceptance->ballot.site);
}

static void look_for_decision(struct registers *registers, struct transaction *transaction)
{
    for (size_t i = 0; i < transaction->acceptance_count; i++)
        if (are_enough(transaction, transaction->acceptances[i].sites))
            decided(registers, transaction, &transaction->acceptances[i]);
}

static void learn_sites(struct registers *registers, struct transaction *transaction,
                        uint32_t sites)
{
    if (sites == 0)
        return;
    if (transaction->sites != 0 && transaction->sites != sites)
        world_violation(registers->world, "%s has the sites %x, and %x", transaction->gtrid,
                        transaction->sites, sites);
    transaction->sites = sites;
    look_for_decision(registers, transaction);
}

void registers_begun(struct registers *registers, const char *gtrid, uint32_t participants)
{
    struct transaction *transaction = find_or_add(registers, gtrid);
    transaction->begun = true;
    learn_sites(registers, transaction, participants ? participants << 1 | 1u << COORDINATOR : 0);
}

static int site_named(const struct world *world, const char *name)
{
    for (int i = 0; i < world->participant_count; i++)
        if (strcmp(world->agents[i]->name, name) == 0)
            return i + 1;
    return COORDINATOR;
}

/* 0: it can't be read. */
static uint32_t sites_listed(const struct world *world, const char *sites)
{
    struct site_address list[SITES_MOST];
    char *text = xstrdup(sites);
    int count = sites_split(text, list);
    uint32_t bits = 1u << COORDINATOR;
    for (int i = 0; i < count; i++)
        bits |= 1u << site_named(world, list[i].name);
    free(text);
    return __builtin_popcount(bits) == count + 1 ? bits : 0;
}

/* Whoever finds it has nothing else that tells whom to ask. */
void registers_prepared(struct registers *registers, int participant, const char *gtrid,
                        const char *sites)
{
    struct transaction *transaction = find_or_add(registers, gtrid);
    uint32_t listed = sites_listed(registers->world, sites);
    uint32_t self = 2u << participant;
    if (!(listed & self))
        world_violation(registers->world, "%s is prepared at p%d with the list \"%s\"", gtrid,
                        participant, sites);
    transaction->prepared |= self;
    transaction->boots[participant + 1] = node_boot(registers->world->agents[participant]);
    learn_sites(registers, transaction, listed);
}

/* ---- changes ---- */

/* An abort may be known without a majority: while nothing was proposed the coordinator decides
 * alone. Then nothing may ever be proposed. Where sites can't tell any more the coordinator
 * believes what all databases prove, and that may be the work of somebody's hand. */
static void check_known(struct registers *registers, struct transaction *transaction, uint8_t value,
                        const char *who, const char *does)
{
    if (transaction->decision == value ||
        (transaction->decision == REGISTER_EMPTY && transaction->meddled))
        return;
    if (value == REGISTER_ABORT && !transaction->proposed &&
        transaction->decision == REGISTER_EMPTY) {
        transaction->undecided_end = true;
        return;
    }
    world_violation(registers->world, "%s: %s %s %s, and %s is decided", transaction->gtrid, who,
                    does, registers_word(value), registers_word(transaction->decision));
}

static void accepted(struct registers *registers, struct transaction *transaction, int site,
                     const struct register_state *state)
{
    struct world *world = registers->world;
    struct acceptance *found = NULL;
    for (size_t i = 0; i < transaction->acceptance_count; i++)
        if (ballot_compare(transaction->acceptances[i].ballot, state->accepted) == 0)
            found = &transaction->acceptances[i];
    if (!found) {
        if (transaction->acceptance_count == transaction->acceptance_room) {
            transaction->acceptance_room = transaction->acceptance_room * 2 + 4;
            transaction->acceptances =
                xrealloc(transaction->acceptances,
                         transaction->acceptance_room * sizeof(*transaction->acceptances));
        }
        found = &transaction->acceptances[transaction->acceptance_count++];
        *found = (struct acceptance){.ballot = state->accepted, .value = state->value};
    }
    if (found->value != state->value)
        world_violation(world, "%s: two values at ballot %u.%u", transaction->gtrid,
                        state->accepted.round, state->accepted.site);
    if (state->value == REGISTER_COMMIT && !transaction->proposed)
        world_violation(world, "%s: %s accepts commit, which nobody proposed", transaction->gtrid,
                        name_of(site));
    if (transaction->decision != REGISTER_EMPTY && transaction->decision != state->value &&
        ballot_compare(state->accepted, transaction->decided_at) > 0)
        world_violation(world, "%s: %s accepts %s at %u.%u, after %s was decided at %u.%u",
                        transaction->gtrid, name_of(site), registers_word(state->value),
                        state->accepted.round, state->accepted.site,
                        registers_word(transaction->decision), transaction->decided_at.round,
                        transaction->decided_at.site);
    found->sites |= 1u << site;
    look_for_decision(registers, transaction);
}

static void changed(struct registers *registers, struct transaction *transaction, int site,
                    const struct register_state *state)
{
    struct world *world = registers->world;
    struct register_state before = transaction->held[site];
    if (register_state_equal(&before, state))
        return;
    transaction->held[site] = *state;
    if (ballot_compare(state->promised, before.promised) < 0)
        world_violation(world, "%s: %s had promised %u.%u, and forgot it", transaction->gtrid,
                        name_of(site), before.promised.round, before.promised.site);
    if (ballot_compare(state->promised, state->accepted) < 0)
        world_violation(world, "%s: %s accepts above its promise", transaction->gtrid,
                        name_of(site));
    bool same_ballot = ballot_compare(state->accepted, before.accepted) == 0;
    if (same_ballot && state->value == before.value)
        return;
    if (state->value == REGISTER_EMPTY || (same_ballot && before.value != REGISTER_EMPTY))
        world_violation(world, "%s: %s had accepted %s, and forgot it", transaction->gtrid,
                        name_of(site), registers_word(before.value));
    else if (register_decided(state))
        check_known(registers, transaction, state->value, name_of(site), "keeps as decided");
    else if (ballot_compare(state->accepted, before.promised) < 0)
        world_violation(world, "%s: %s accepts at %u.%u, and has promised %u.%u",
                        transaction->gtrid, name_of(site), state->accepted.round,
                        state->accepted.site, before.promised.round, before.promised.site);
    else
        accepted(registers, transaction, site, state);
}

void registers_stored(struct registers *registers, int participant, const char *gtrid,
                      const struct register_state *state)
{
    changed(registers, find_or_add(registers, gtrid), participant + 1, state);
}

void registers_row_lost(struct registers *registers)
{
    registers->lost++;
}

void registers_committed(struct registers *registers, enum db_accepted accepted)
{
    registers->accepts[accepted]++;
}

/* ---- journals ---- */

static struct transaction *of_journal(struct registers *registers, int coordinator, uint64_t epoch,
                                      uint64_t seq)
{
    gtrid_text gtrid;
    gtrid_format(gtrid, CLUSTER_NAME, registers->world->coordinators[coordinator]->name,
                 (struct txid){epoch, seq});
    return find_or_add(registers, gtrid);
}

static uint32_t sites_of(const struct world *world, const Journal__Proposed *proposed)
{
    uint32_t sites = 1u << COORDINATOR;
    for (size_t i = 0; i < proposed->n_sites; i++)
        for (int k = 0; k < world->participant_count; k++)
            if (strcmp(proposed->sites[i], world->agents[k]->name) == 0)
                sites |= 2u << k;
    return sites;
}

static struct register_state state_of(const Journal__Register *record)
{
    return (struct register_state){.promised = {record->promised_round, record->promised_site},
                                   .accepted = {record->accepted_round, record->accepted_site},
                                   .value = record->commit ? REGISTER_COMMIT : REGISTER_ABORT};
}

static void proposed(struct registers *registers, int coordinator, const Journal__Proposed *record)
{
    struct transaction *transaction =
        of_journal(registers, coordinator, record->proposal->epoch, record->proposal->seq);
    transaction->proposed = true;
    learn_sites(registers, transaction, sites_of(registers->world, record));
    if (transaction->undecided_end && transaction->decision != REGISTER_ABORT)
        world_violation(registers->world,
                        "%s is proposed, and was aborted before without a decision",
                        transaction->gtrid);
    struct register_state state = {.value = REGISTER_COMMIT};
    if (record->own)
        state = state_of(record->own);
    changed(registers, transaction, COORDINATOR, &state);
}

static void journaled(struct registers *registers, int coordinator, const Journal__Record *record)
{
    struct transaction *transaction;
    struct register_state state;
    switch (record->body_case) {
    case JOURNAL__RECORD__BODY_PROPOSED:
        proposed(registers, coordinator, record->proposed);
        break;
    case JOURNAL__RECORD__BODY_REGISTERED:
        transaction =
            of_journal(registers, coordinator, record->registered->epoch, record->registered->seq);
        state = state_of(record->registered);
        changed(registers, transaction, COORDINATOR, &state);
        break;
    case JOURNAL__RECORD__BODY_DECIDED:
        transaction =
            of_journal(registers, coordinator, record->decided->epoch, record->decided->seq);
        check_known(registers, transaction,
                    record->decided->commit ? REGISTER_COMMIT : REGISTER_ABORT,
                    name_of(COORDINATOR), "journals as decided");
        break;
    default:
        break;
    }
}

void registers_journaled(struct registers *registers, int coordinator, const void *bytes,
                         size_t size)
{
    Journal__Record *record = journal__record__unpack(NULL, size, bytes);
    CHECK(record != NULL);
    journaled(registers, coordinator, record);
    journal__record__free_unpacked(record, NULL);
}

/* ---- ends ---- */

static bool is_orphan(const struct world *world, const struct transaction *transaction)
{
    for (int i = 0; i < world->participant_count; i++)
        if (transaction->prepared & 2u << i &&
            transaction->boots[i + 1] == node_boot(world->agents[i]))
            return false;
    return true;
}

static void note_who_is_left(const struct world *world, struct transaction *transaction)
{
    int coordinator = cluster_coordinator_of(world, transaction->gtrid);
    if (coordinator < 0 || node_up(world->coordinators[coordinator]))
        return;
    transaction->alone = true;
    transaction->orphan |= cluster_gone(world, coordinator) && is_orphan(world, transaction);
}

void registers_finishing(struct registers *registers, int participant, const char *gtrid,
                         bool commit)
{
    struct transaction *transaction = find_or_add(registers, gtrid);
    if (order_book_forced_at(registers->world, participant, gtrid, commit)) {
        if (commit)
            transaction->committed |= 2u << participant;
        return;
    }
    note_who_is_left(registers->world, transaction);
    *(commit ? &transaction->committed : &transaction->rolled_back) |= 2u << participant;
    check_known(registers, transaction, commit ? REGISTER_COMMIT : REGISTER_ABORT,
                name_of(participant + 1), "carries out");
    if (transaction->committed && transaction->rolled_back &&
        !order_book_forced(registers->world, gtrid))
        world_violation(registers->world, "%s: committed at the sites %x, rolled back at %x", gtrid,
                        transaction->committed, transaction->rolled_back);
}

void registers_meddled(struct registers *registers, const char *gtrid)
{
    struct transaction *transaction = find(registers, gtrid);
    if (transaction)
        transaction->meddled = true;
}

void registers_settling(struct registers *registers, const char *gtrid)
{
    const struct world *world = registers->world;
    struct transaction *transaction = find_or_add(registers, gtrid);
    if (transaction->decision != REGISTER_COMMIT)
        world_violation(registers->world, "%s is settled, and %s is decided", gtrid,
                        registers_word(transaction->decision));
    /* A failover may have made it prepared again. */
    for (int i = 0; i < world->participant_count; i++)
        if (database_has_prepared(world->databases[i], gtrid) &&
            transaction->prepared & ~transaction->committed & 2u << i)
            world_violation(registers->world, "%s is settled, and prepared at p%d", gtrid, i);
}

/* A transaction of which nothing was prepared is nobody's to decide. */
void registers_told(struct registers *registers, const char *gtrid, bool committed)
{
    struct transaction *transaction = find(registers, gtrid);
    if (transaction && transaction->prepared)
        check_known(registers, transaction, committed ? REGISTER_COMMIT : REGISTER_ABORT,
                    "a client", "is told");
}

void registers_shown_decided(struct registers *registers, const char *gtrid, uint8_t value)
{
    struct transaction *transaction = find(registers, gtrid);
    if (transaction)
        check_known(registers, transaction, value, "somebody who looks", "is shown");
}

static bool has_accepted(const struct transaction *transaction, int site,
                         const struct register_state *state)
{
    for (size_t i = 0; i < transaction->acceptance_count; i++) {
        const struct acceptance *acceptance = &transaction->acceptances[i];
        if (ballot_compare(acceptance->ballot, state->accepted) == 0 &&
            acceptance->value == state->value && acceptance->sites & 1u << site)
            return true;
    }
    return false;
}

void registers_shown(struct registers *registers, const char *gtrid, const char *name,
                     const struct register_state *state)
{
    const struct transaction *transaction = find(registers, gtrid);
    int site = site_named(registers->world, name);
    struct ballot none = {0, 0};
    if (!transaction) {
        if (state->value != REGISTER_EMPTY || ballot_compare(state->promised, none) != 0)
            world_violation(registers->world, "%s: a register is shown, and there is none", gtrid);
        return;
    }
    if (ballot_compare(state->promised, transaction->held[site].promised) > 0)
        world_violation(registers->world, "%s: %s is shown to have promised %u.%u, and has not",
                        gtrid, name_of(site), state->promised.round, state->promised.site);
    if (state->value != REGISTER_EMPTY && !has_accepted(transaction, site, state))
        world_violation(registers->world, "%s: %s is shown to have accepted %s, and has not", gtrid,
                        name_of(site), registers_word(state->value));
}

enum register_value registers_decision(const struct registers *registers, const char *gtrid)
{
    const struct transaction *transaction = find(registers, gtrid);
    return transaction ? (enum register_value)transaction->decision : REGISTER_EMPTY;
}

bool registers_lonely(const struct registers *registers, const char *gtrid)
{
    const struct transaction *transaction = find(registers, gtrid);
    return !transaction || __builtin_popcount(transaction->sites) < 3;
}

struct registers_count registers_count(const struct registers *registers)
{
    struct registers_count count = {.accepted = registers->accepts[DB_ACCEPTED],
                                    .refused = registers->accepts[DB_ACCEPT_REFUSED],
                                    .unsure = registers->accepts[DB_ACCEPT_UNKNOWN],
                                    .lost = registers->lost};
    for (struct map_node *node = map_next(&registers->transactions, NULL); node;
         node = map_next(&registers->transactions, node)) {
        const struct transaction *transaction = CONTAINER(node, struct transaction, node);
        count.begun += transaction->begun;
        count.proposed += transaction->proposed;
        count.committed += transaction->decision == REGISTER_COMMIT;
        count.aborted += transaction->decision == REGISTER_ABORT;
        count.alone += transaction->alone;
        count.orphans += transaction->orphan;
        count.terminated +=
            transaction->decision != REGISTER_EMPTY && transaction->decided_at.site != COORDINATOR;
    }
    return count;
}
