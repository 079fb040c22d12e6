/* What comes out of the journal: the transactions that are committed and not ended are live again,
 * with everything owed that was not acknowledged, and those that were proposed and not decided; all
 * else is memory for verdicts and keys. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/planted.h"

bool server_senseless(struct error *error, const char *what)
{
    error_set(error, ERROR_CORRUPT, "the journal holds a record that makes no sense here");
    error_detail(error, "%s", what);
    return error_hint(error, "look at it with `troth journal dump DIR`, and check it with "
                             "`troth journal verify DIR`");
}

static bool replay_started(struct server *server, const Journal__Started *started,
                           struct error *error)
{
    if (strcmp(started->cluster, server->cluster) != 0 ||
        strcmp(started->coordinator, server->coordinator) != 0) {
        error_set(error, ERROR_USAGE, "the journal belongs to another coordinator");
        error_detail(error, "it is of %s in cluster %s; this is %s in cluster %s",
                     started->coordinator, started->cluster, server->coordinator, server->cluster);
        return error_hint(error,
                          "set `coordinator` and `cluster`, or give another journal.directory");
    }
    server->named = true;
    recovery_started(&server->recovery, started->epoch);
    return true;
}

static struct participant *meet(struct server *server, const char *name, struct error *error)
{
    if (!name_valid(name)) {
        server_senseless(error, "a participant without a valid name");
        return NULL;
    }
    struct participant *participant = participants_meet(&server->participants, name);
    if (!participant)
        server_senseless(error, "more participants than a coordinator can have");
    return participant;
}

static bool replay_key(struct server *server, const Journal__Key *record, struct tx *tx,
                       struct txid id, int64_t at_us, struct error *error)
{
    if (PLANTED(FORGET_KEYS))
        return true;
    struct key *older = keys_find(&server->keys, record->key);
    if (record->fingerprint.len != FINGERPRINT_BYTES || (older && older->tx))
        return server_senseless(error, "an idempotency key twice, or without its fingerprint");
    /* It had expired when it was taken again; the journal keeps no record of that. */
    if (older)
        keys_remove(&server->keys, older);
    struct key *key = keys_add(&server->keys, record->key, record->fingerprint.data, tx, id);
    keys_keep_results(&server->keys, key, record->results, (int)record->n_results,
                      record->results_dropped);
    key->hazard = record->hazard;
    if (tx)
        tx->key = key;
    else
        keys_settle(&server->keys, key, at_us);
    return true;
}

static bool sound_branches(const Journal__Committed *committed)
{
    if (committed->n_branches > LIMIT_BRANCHES)
        return false;
    for (size_t i = 0; i < committed->n_branches; i++) {
        if (committed->branches[i]->index >= LIMIT_BRANCHES)
            return false;
    }
    return true;
}

/* A committed transaction comes to life, with COMMIT owed to each branch that is not applied. */
static bool replay_committed(struct server *server, const Journal__Committed *committed,
                             struct error *error)
{
    struct txid id = {committed->epoch, committed->seq};
    if (!server->named || !sound_branches(committed) || server_find(server, id))
        return server_senseless(error, "a commit that can't be: twice, nobody's or malformed");
    if (PLANTED(NO_RECOVERY))
        return true;
    int count = (int)committed->n_branches;
    size_t text = committed->key ? strlen(committed->key->key) + 1 : 0;
    struct tx *tx = tx_new(id, count, 0, false, text);
    transaction_init(&tx->machine, tx->machine.branches, count, IN_TWO_PHASES,
                     committed->key != NULL);
    tx->begun_us = committed->begun_us;
    tx->decided_us = committed->at_us;
    server_list(server, tx);
    for (int i = 0; i < count; i++) {
        const Journal__Branch *branch = committed->branches[i];
        struct participant *participant = meet(server, branch->participant, error);
        if (!participant)
            return false;
        tx->branches[i].participant = participant;
        tx->branches[i].number = (uint8_t)branch->index;
        tx->branches[i].xid = branch->xid;
    }
    for (int i = 0; i < count; i++) {
        struct transaction_event event = {.type = EVENT_BRANCH_RECOVERED,
                                          .branch = i,
                                          .commit = true,
                                          .applied = committed->branches[i]->applied};
        CHECK(server_step(server, tx, &event));
    }
    if (committed->key) {
        tx->key_text = tx_text(tx, committed->key->key);
        if (!replay_key(server, committed->key, tx, id, 0, error))
            return false;
    }
    struct transaction_event event = {.type = EVENT_RECOVERED};
    return server_step(server, tx, &event);
}

static bool take_register(const Journal__Register *record, struct register_state *out)
{
    *out = (struct register_state){.promised = {record->promised_round, record->promised_site},
                                   .accepted = {record->accepted_round, record->accepted_site},
                                   .value = record->commit ? REGISTER_COMMIT : REGISTER_ABORT};
    return register_state_sound(out) && !register_decided(out);
}

/* Each branch that voted yes is that of the site with its number; no site is there twice. */
static bool sound_proposal(const Journal__Proposed *proposed, struct register_state *own)
{
    const Journal__Committed *proposal = proposed->proposal;
    uint32_t seen = 0;
    if (!proposal || !sound_branches(proposal) || proposed->n_sites == 0 ||
        proposed->n_sites >= LIMIT_SITES)
        return false;
    for (size_t i = 0; i < proposal->n_branches; i++) {
        const Journal__Branch *branch = proposal->branches[i];
        if (branch->index >= proposed->n_sites || seen >> branch->index & 1 ||
            strcmp(branch->participant, proposed->sites[branch->index]) != 0)
            return false;
        seen |= UINT32_C(1) << branch->index;
    }
    for (size_t i = 0; i < proposed->n_sites; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(proposed->sites[i], proposed->sites[j]) == 0)
                return false;
        }
    }
    *own = (struct register_state){.value = REGISTER_COMMIT};
    return !proposed->own || take_register(proposed->own, own);
}

static bool meet_sites(struct server *server, struct tx *tx, const Journal__Proposed *proposed,
                       struct error *error)
{
    for (size_t i = 0; i < proposed->n_sites; i++) {
        tx->branches[i].participant = meet(server, proposed->sites[i], error);
        if (!tx->branches[i].participant)
            return false;
    }
    return true;
}

static void recover_votes(struct server *server, struct tx *tx, const Journal__Committed *proposal)
{
    for (int i = 0; i < tx->machine.branch_count; i++) {
        struct transaction_event event = {
            .type = EVENT_BRANCH_RECOVERED, .branch = i, .read_only = true};
        for (size_t j = 0; j < proposal->n_branches; j++) {
            if (proposal->branches[j]->index != (uint32_t)i)
                continue;
            event.read_only = false;
            tx->branches[i].xid = proposal->branches[j]->xid;
        }
        CHECK(server_step(server, tx, &event));
    }
}

/* What was proposed is live: whether it was decided only the registers know. */
static bool replay_proposed(struct server *server, const Journal__Proposed *proposed,
                            struct error *error)
{
    struct register_state own;
    if (!server->named || !sound_proposal(proposed, &own))
        return server_senseless(error, "a proposal that can't be: nobody's or malformed");
    const Journal__Committed *proposal = proposed->proposal;
    struct txid id = {proposal->epoch, proposal->seq};
    if (server_find(server, id))
        return server_senseless(error, "a proposal of what is there already");
    if (PLANTED(PRESUME_ABORT_OF_PROPOSED))
        return true;
    int count = (int)proposed->n_sites;
    size_t text = proposal->key ? strlen(proposal->key->key) + 1 : 0;
    struct tx *tx = tx_new(id, count, 0, true, text);
    transaction_init(&tx->machine, tx->machine.branches, count, IN_THREE_PHASES,
                     proposal->key != NULL);
    tx->begun_us = proposal->begun_us;
    server_list(server, tx);
    if (!meet_sites(server, tx, proposed, error))
        return false;
    recover_votes(server, tx, proposal);
    if (proposal->key) {
        tx->key_text = tx_text(tx, proposal->key->key);
        if (!replay_key(server, proposal->key, tx, id, 0, error))
            return false;
    }
    struct transaction_event event = {.type = EVENT_RECOVERED_PROPOSED, .state = own};
    return server_step(server, tx, &event);
}

/* NULL: it is not there, or not to be decided any more. */
static struct tx *find_proposed(struct server *server, struct txid id)
{
    struct tx *tx = server_find(server, id);
    return tx && tx->machine.state == TRANSACTION_PROPOSED ? tx : NULL;
}

static bool not_proposed(struct error *error)
{
    return PLANTED(PRESUME_ABORT_OF_PROPOSED) || PLANTED(CHECKPOINT_DROPS_LIVE) ||
           server_senseless(error, "the register or the decision of what was not proposed");
}

static bool replay_register(struct server *server, const Journal__Register *record,
                            struct error *error)
{
    struct transaction_event event = {.type = EVENT_REGISTER_RECOVERED};
    struct tx *tx = find_proposed(server, (struct txid){record->epoch, record->seq});
    if (!tx)
        return not_proposed(error);
    if (!take_register(record, &event.state) ||
        ballot_compare(event.state.promised, tx->machine.own.promised) < 0 ||
        ballot_compare(event.state.accepted, tx->machine.own.accepted) < 0)
        return server_senseless(error, "a register that can't be, or that forgot a promise");
    return server_step(server, tx, &event);
}

static bool replay_decided(struct server *server, const Journal__Decided *decided,
                           struct error *error)
{
    struct tx *tx = find_proposed(server, (struct txid){decided->epoch, decided->seq});
    if (!tx)
        return not_proposed(error);
    if (decided->commit) {
        struct transaction_event event = {.type = EVENT_DECISION_RECOVERED};
        tx->decided_us = decided->at_us;
        return server_step(server, tx, &event);
    }
    /* As if it had never been: whoever asks is told abort. */
    if (tx->key)
        keys_remove(&server->keys, tx->key);
    server_unlist(server, tx);
    tx_free(tx);
    return true;
}

static bool replay_ended(struct server *server, const Journal__Ended *ended, struct error *error)
{
    struct txid id = {ended->epoch, ended->seq};
    struct tx *tx = server_find(server, id);
    if (!tx || !tx->machine.committed)
        return PLANTED(NO_RECOVERY) || PLANTED(CHECKPOINT_DROPS_LIVE) ||
               PLANTED(PRESUME_ABORT_OF_PROPOSED) ||
               server_senseless(error, "the end of a transaction that was never committed");
    if (tx->key)
        keys_settle(&server->keys, tx->key, ended->at_us);
    server_unlist(server, tx);
    recovery_ended(&server->recovery, id, ended->at_us);
    tx_free(tx);
    return true;
}

/* What is listed of it already, with one branch more. */
static struct tx *widen(struct server *server, struct tx *old, struct txid id)
{
    int known = old ? old->machine.branch_count : 0;
    struct tx *tx = tx_new(id, known + 1, 0, false, 0);
    transaction_init(&tx->machine, tx->machine.branches, known + 1, IN_TWO_PHASES, false);
    tx->hazard_only = true;
    for (int i = 0; i < known; i++) {
        tx->branches[i].participant = old->branches[i].participant;
        tx->branches[i].number = old->branches[i].number;
        tx->branches[i].xid = old->branches[i].xid;
    }
    if (old) {
        tx->begun_us = old->begun_us;
        tx->decided_us = old->decided_us;
        server_unlist(server, old);
        tx_free(old);
    }
    return tx;
}

struct tx *server_relist(struct server *server, struct txid id, uint32_t number,
                         struct participant *participant, bool commit, const char *reason)
{
    struct tx *old = server_find(server, id);
    CHECK(!old || (old->hazard_only && old->machine.branch_count < LIMIT_BRANCHES));
    struct tx *tx = widen(server, old, id);
    int last = tx->machine.branch_count - 1;
    tx->branches[last].participant = participant;
    tx->branches[last].number = (uint8_t)number;
    server_list(server, tx);
    tx_hazard(tx, participant, reason);
    for (int i = 0; i <= last; i++) {
        struct transaction_event event = {
            .type = EVENT_BRANCH_RECOVERED, .branch = i, .commit = commit, .hazard = true};
        CHECK(server_step(server, tx, &event));
    }
    struct transaction_event event = {.type = EVENT_RECOVERED};
    CHECK(server_step(server, tx, &event));
    return tx;
}

static bool replay_hazard(struct server *server, const Journal__Hazard *hazard, struct error *error)
{
    struct txid id = {hazard->epoch, hazard->seq};
    struct tx *tx = server_find(server, id);
    struct participant *participant = meet(server, hazard->participant, error);
    if (!participant)
        return false;
    if (hazard->branch >= LIMIT_BRANCHES)
        return server_senseless(error, "a hazard of a branch that can't be");
    if (!tx || (tx->hazard_only && tx_branch_index(tx, hazard->branch) < 0)) {
        tx = server_relist(server, id, hazard->branch, participant, hazard->commit, hazard->reason);
        tx->begun_us = tx->decided_us = hazard->at_us;
        return true;
    }
    int index = tx_branch_index(tx, hazard->branch);
    struct transaction_event event = {
        .type = EVENT_FINISHED, .branch = index, .commit = hazard->commit, .hazard = true};
    tx_hazard(tx, participant, hazard->reason);
    if (index < 0 || !server_step(server, tx, &event))
        return server_senseless(error, "a hazard of a branch that was not owed anything");
    return true;
}

void server_forget_replayed(struct server *server, struct txid id, int64_t at_us)
{
    struct tx *tx = server_find(server, id);
    if (!tx || tx->machine.in[BRANCH_HAZARD] == 0)
        return;
    /* What its other branches have acknowledged is in no record, but this was written after it. */
    if (tx->machine.committed && !tx->hazard_only)
        recovery_ended(&server->recovery, id, at_us);
    if (tx->key) {
        tx->key->hazard = true;
        keys_settle(&server->keys, tx->key, at_us);
    }
    server_unlist(server, tx);
    tx_free(tx);
}

static bool replay_record(struct server *server, const Journal__Record *record, struct error *error)
{
    switch (record->body_case) {
    case JOURNAL__RECORD__BODY_STARTED:
        return replay_started(server, record->started, error);
    case JOURNAL__RECORD__BODY_COMMITTED:
        return replay_committed(server, record->committed, error);
    case JOURNAL__RECORD__BODY_ENDED:
        return replay_ended(server, record->ended, error);
    case JOURNAL__RECORD__BODY_HAZARD:
        return replay_hazard(server, record->hazard, error);
    case JOURNAL__RECORD__BODY_PROPOSED:
        return replay_proposed(server, record->proposed, error);
    case JOURNAL__RECORD__BODY_REGISTERED:
        return replay_register(server, record->registered, error);
    case JOURNAL__RECORD__BODY_DECIDED:
        return replay_decided(server, record->decided, error);
    case JOURNAL__RECORD__BODY_HEURISTIC:
        return heuristics_replayed(server, record->heuristic, error);
    case JOURNAL__RECORD__BODY_FORGOTTEN:
        return heuristics_forgotten(server, record->forgotten, error);
    case JOURNAL__RECORD__BODY_STOPPED:
        return true;
    case JOURNAL__RECORD__BODY_RETAINED:
        return retained_restore(&server->recovery.retained, record->retained->epoch,
                                record->retained->first, record->retained->bits.data,
                                record->retained->bits.len, record->retained->last_us) ||
               server_senseless(error, "a block of retained commits of a wrong size or place");
    case JOURNAL__RECORD__BODY_LOW_WATER:
        recovery_low_water(&server->recovery,
                           (struct txid){record->low_water->epoch, record->low_water->seq});
        return true;
    case JOURNAL__RECORD__BODY_KEY:
        return replay_key(server, record->key, NULL,
                          (struct txid){record->key->epoch, record->key->seq}, record->key->at_us,
                          error);
    case JOURNAL__RECORD__BODY_SAGA_DEFINITION:
        return sagas_replay_definition(server, record->saga_definition, error);
    case JOURNAL__RECORD__BODY_SAGA_BEGAN:
        return sagas_replay_began(server, record->saga_began, error);
    case JOURNAL__RECORD__BODY_SAGA_EVENT:
        return sagas_replay_event(server, record->saga_event, error);
    case JOURNAL__RECORD__BODY_SAGA_KEPT:
        return sagas_replay_kept(server, record->saga_kept, error);
    default:
        return server_senseless(error, "its kind is unknown: a later version may have written it");
    }
}

bool server_replay(struct server *server, const void *record, size_t size, struct error *error)
{
    CHECK(!server->ready && server->started_position == 0);
    Journal__Record *unpacked = journal__record__unpack(&server->arena.allocator, size, record);
    server->replaying = true;
    bool fine = unpacked ? replay_record(server, unpacked, error)
                         : server_senseless(error, "it can't be read");
    server->replaying = false;
    arena_reset(&server->arena);
    return fine;
}
