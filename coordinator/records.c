/* What goes into the journal. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/crash.h"
#include "core/planted.h"

uint64_t server_append(struct server *server, const Journal__Record *record, bool urgent)
{
    CHECK(!server->replaying);
    size_t size = journal__record__get_packed_size(record);
    CHECK(size > 0 && size <= LIMIT_RECORD_BYTES);
    uint8_t *bytes = server_scratch(server, size);
    journal__record__pack(record, bytes);
    return server->journal.append(server->journal.self, bytes, size, urgent);
}

static int64_t wall_us(const struct server *server)
{
    return server->host.wall_us(server->host.self);
}

uint64_t server_append_started(struct server *server)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__Started started = JOURNAL__STARTED__INIT;
    started.epoch = server->recovery.epoch;
    started.cluster = server->cluster;
    started.coordinator = server->coordinator;
    started.at_us = wall_us(server);
    started.software = (char *)"troth " TROTH_VERSION;
    record.body_case = JOURNAL__RECORD__BODY_STARTED;
    record.started = &started;
    return server_append(server, &record, true);
}

uint64_t server_append_stopped(struct server *server)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__Stopped stopped = JOURNAL__STOPPED__INIT;
    stopped.at_us = wall_us(server);
    record.body_case = JOURNAL__RECORD__BODY_STOPPED;
    record.stopped = &stopped;
    return server_append(server, &record, true);
}

static void key_record(const struct key *key, Journal__Key *out)
{
    journal__key__init(out);
    out->key = key->text;
    out->fingerprint.data = (uint8_t *)key->fingerprint;
    out->fingerprint.len = FINGERPRINT_BYTES;
    out->results = key->results;
    out->n_results = (size_t)key->result_count;
    out->results_dropped = key->results_dropped;
    out->hazard = key->hazard;
}

/* A COMMIT record, or the proposal of one, and what it points to. */
struct commit_record {
    Journal__Committed committed;
    Journal__Branch branches[LIMIT_BRANCHES], *pointers[LIMIT_BRANCHES];
    Journal__Key key;
};

static void draft_commit(const struct tx *tx, int64_t at_us, struct commit_record *draft)
{
    Journal__Committed *committed = &draft->committed;
    journal__committed__init(committed);
    committed->epoch = tx->id.epoch;
    committed->seq = tx->id.seq;
    committed->at_us = at_us;
    committed->begun_us = tx->begun_us;
    committed->branches = draft->pointers;
    for (int i = 0; i < tx->machine.branch_count; i++) {
        enum branch_state state = tx->machine.branches[i].state;
        if (state == BRANCH_READ_ONLY)
            continue;
        size_t at = committed->n_branches++;
        Journal__Branch *branch = draft->pointers[at] = &draft->branches[at];
        journal__branch__init(branch);
        branch->participant = tx->branches[i].participant->name;
        branch->index = tx->branches[i].number;
        branch->xid = tx->branches[i].xid;
        branch->applied = state == BRANCH_APPLIED;
    }
    if (tx->key) {
        key_record(tx->key, &draft->key);
        committed->key = &draft->key;
    }
}

uint64_t server_append_committed(struct server *server, struct tx *tx)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    struct commit_record draft;
    draft_commit(tx, tx->decided_us, &draft);
    record.body_case = JOURNAL__RECORD__BODY_COMMITTED;
    record.committed = &draft.committed;
    return server_append(server, &record, true);
}

static void draft_register(const struct tx *tx, Journal__Register *out)
{
    const struct register_state *own = &tx->machine.own;
    journal__register__init(out);
    out->epoch = tx->id.epoch;
    out->seq = tx->id.seq;
    out->promised_round = own->promised.round;
    out->promised_site = own->promised.site;
    out->accepted_round = own->accepted.round;
    out->accepted_site = own->accepted.site;
    out->commit = own->value == REGISTER_COMMIT;
}

/* With what the site holds by now, when that is more than the proposal itself. */
uint64_t server_append_proposed(struct server *server, struct tx *tx)
{
    static const struct register_state fresh = {.value = REGISTER_COMMIT};
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__Proposed proposed = JOURNAL__PROPOSED__INIT;
    Journal__Register own;
    struct commit_record draft;
    char *sites[LIMIT_SITES];
    draft_commit(tx, wall_us(server), &draft);
    proposed.proposal = &draft.committed;
    proposed.sites = sites;
    proposed.n_sites = tx->machine.branch_count;
    for (int i = 0; i < tx->machine.branch_count; i++)
        sites[i] = tx->branches[i].participant->name;
    if (!register_state_equal(&tx->machine.own, &fresh)) {
        draft_register(tx, &own);
        proposed.own = &own;
    }
    record.body_case = JOURNAL__RECORD__BODY_PROPOSED;
    record.proposed = &proposed;
    return server_append(server, &record, true);
}

uint64_t server_append_register(struct server *server, struct tx *tx)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__Register body;
    draft_register(tx, &body);
    record.body_case = JOURNAL__RECORD__BODY_REGISTERED;
    record.registered = &body;
    return server_append(server, &record, true);
}

uint64_t server_append_decided(struct server *server, struct tx *tx)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__Decided decided = JOURNAL__DECIDED__INIT;
    decided.epoch = tx->id.epoch;
    decided.seq = tx->id.seq;
    decided.commit = tx->machine.proposer.value == REGISTER_COMMIT;
    decided.at_us = wall_us(server);
    record.body_case = JOURNAL__RECORD__BODY_DECIDED;
    record.decided = &decided;
    return server_append(server, &record, false);
}

uint64_t server_append_ended(struct server *server, struct tx *tx)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__Ended ended = JOURNAL__ENDED__INIT;
    ended.epoch = tx->id.epoch;
    ended.seq = tx->id.seq;
    ended.at_us = wall_us(server);
    record.body_case = JOURNAL__RECORD__BODY_ENDED;
    record.ended = &ended;
    return server_append(server, &record, false);
}

uint64_t server_append_hazard(struct server *server, struct tx *tx, int index)
{
    if (server->replaying)
        return 0;
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__Hazard hazard = JOURNAL__HAZARD__INIT;
    hazard.epoch = tx->id.epoch;
    hazard.seq = tx->id.seq;
    hazard.branch = tx->branches[index].number;
    hazard.participant = tx->branches[index].participant->name;
    hazard.commit = tx->machine.committed;
    hazard.reason = tx->problem && tx->problem->detail ? tx->problem->detail : (char *)"";
    hazard.at_us = wall_us(server);
    record.body_case = JOURNAL__RECORD__BODY_HAZARD;
    record.hazard = &hazard;
    return server_append(server, &record, true);
}

static void append_low_water(struct server *server)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__LowWater low_water = JOURNAL__LOW_WATER__INIT;
    low_water.epoch = server->recovery.low_water.epoch;
    low_water.seq = server->recovery.low_water.seq;
    record.body_case = JOURNAL__RECORD__BODY_LOW_WATER;
    record.low_water = &low_water;
    server_append(server, &record, true);
}

static void append_retained(struct server *server)
{
    for (size_t i = 0; i < retained_count(&server->recovery.retained); i++) {
        const struct retained_block *block = retained_at(&server->recovery.retained, i);
        Journal__Record record = JOURNAL__RECORD__INIT;
        Journal__Retained retained = JOURNAL__RETAINED__INIT;
        retained.epoch = block->epoch;
        retained.first = block->first;
        retained.bits.data = (uint8_t *)block->bits;
        retained.bits.len = sizeof(block->bits);
        retained.last_us = block->last_us;
        record.body_case = JOURNAL__RECORD__BODY_RETAINED;
        record.retained = &retained;
        server_append(server, &record, true);
    }
}

/* Of the runs before this one: an epoch without it would be one that the journal never saw. */
static void append_epochs(struct server *server)
{
    const struct recovery *recovery = &server->recovery;
    for (size_t i = 0; i < recovery->epoch_count; i++) {
        if (recovery->epochs[i] == recovery->epoch)
            continue;
        Journal__Record record = JOURNAL__RECORD__INIT;
        Journal__Started started = JOURNAL__STARTED__INIT;
        started.epoch = recovery->epochs[i];
        started.cluster = server->cluster;
        started.coordinator = server->coordinator;
        record.body_case = JOURNAL__RECORD__BODY_STARTED;
        record.started = &started;
        server_append(server, &record, true);
    }
}

/* The record of a decision that waits to be durable lies before the checkpoint, which replaces it:
 * so it is written again here. Its own durability stays what is waited for. What was proposed and
 * then aborted by the registers is left out, as all aborts are. */
static void append_live(struct server *server)
{
    for (struct list *at = server->all.next; at != &server->all; at = at->next) {
        struct tx *tx = CONTAINER(at, struct tx, all);
        bool undecided = transaction_phase(&tx->machine) == PHASE_DECIDING;
        if (tx->sites && undecided)
            server_append_proposed(server, tx);
        else if (tx->machine.appended && !tx->hazard_only && (undecided || tx->machine.committed))
            server_append_committed(server, tx);
        for (int i = 0; i < tx->machine.branch_count; i++) {
            if (tx->machine.branches[i].state == BRANCH_HAZARD)
                server_append_hazard(server, tx, i);
        }
    }
}

static void append_keys(struct server *server, const struct list *head)
{
    for (const struct list *at = head->next; at != head; at = at->next) {
        const struct key *key = CONTAINER(at, struct key, aged);
        Journal__Record record = JOURNAL__RECORD__INIT;
        Journal__Key body;
        key_record(key, &body);
        body.epoch = key->id.epoch;
        body.seq = key->id.seq;
        body.at_us = key->at_us;
        record.body_case = JOURNAL__RECORD__BODY_KEY;
        record.key = &body;
        server_append(server, &record, true);
    }
}

/* Everything that a replay of the whole journal would come to now. The low-water mark goes first:
 * Started alone would be read as the birth of a fresh journal. */
void server_checkpoint(struct server *server)
{
    server->journal.checkpoint_begin(server->journal.self);
    append_low_water(server);
    if (!PLANTED(CHECKPOINT_DROPS_EPOCHS))
        append_epochs(server);
    server_append_started(server);
    append_retained(server);
    /* A crash here leaves the journal as it was without the checkpoint. */
    CRASH_POINT("coordinator.checkpoint");
    if (!PLANTED(CHECKPOINT_DROPS_LIVE))
        append_live(server);
    append_keys(server, &server->keys.aged);
    append_keys(server, &server->keys.of_steps);
    heuristics_checkpoint(server);
    sagas_checkpoint(server);
    server->journal.checkpoint_end(server->journal.self);
}
