/* The register of this site: its row loaded and stored, asks answered by it, one at a time. */
#include "core/check.h"
#include "core/crash.h"
#include "core/planted.h"
#include "participant/agent_private.h"

/* Another row than expected is loaded at once, but not for ever. */
enum { CHANGES_AT_ONCE = 3 };

static uint64_t now(const struct agent *agent)
{
    return agent->host.now_us(agent->host.self);
}

/* ---- replies ------------------------------------------------------------------------------- */

static void fill_ballot(Wire__Ballot *wire, struct ballot ballot)
{
    wire__ballot__init(wire);
    wire->round = ballot.round;
    wire->site = ballot.site;
}

static Wire__Answered answered(enum register_reply reply)
{
    static const Wire__Answered words[] = {[REGISTER_GRANTED] = WIRE__ANSWERED__GRANTED,
                                           [REGISTER_OUTBID] = WIRE__ANSWERED__OUTBID,
                                           [REGISTER_DECIDED] = WIRE__ANSWERED__KNOWN,
                                           [REGISTER_WAIT] = WIRE__ANSWERED__ASK_LATER,
                                           [REGISTER_HELD] = WIRE__ANSWERED__CANNOT_TELL};
    return words[reply];
}

static void reply_applied(struct agent *agent, const struct site *site,
                          const struct site_wait *wait, enum register_reply said,
                          const struct register_state *state, bool applied)
{
    Wire__Ballot ballot, promised, accepted;
    Wire__Reply wire = WIRE__REPLY__INIT;
    fill_ballot(&ballot, wait->ask.ballot);
    fill_ballot(&promised, state->promised);
    fill_ballot(&accepted, state->accepted);
    wire.coordinator = (char *)site->id.coordinator;
    wire.epoch = site->id.tx.epoch;
    wire.seq = site->id.tx.seq;
    wire.site = wait->site;
    wire.question = (Wire__Question)wait->ask.question;
    wire.ballot = &ballot;
    wire.answered = answered(said);
    wire.promised = &promised;
    wire.accepted = &accepted;
    wire.value = (Wire__Value)state->value;
    wire.applied = applied;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_REPLY;
    message.reply = &wire;
    /* A session that is gone drops it: who still wants to know asks again. */
    agent_send_to(agent, wait->session, &message);
}

static void reply(struct agent *agent, const struct site *site, const struct site_wait *wait,
                  enum register_reply said, const struct register_state *state)
{
    reply_applied(agent, site, wait, said, state, false);
}

static void reply_decision(struct agent *agent, const struct site *site,
                           const struct site_wait *wait)
{
    struct register_state state = site->state;
    state.value = site->decision;
    reply(agent, site, wait, REGISTER_DECIDED, &state);
}

/* ---- the row ------------------------------------------------------------------------------- */

static void retry_later(struct agent *agent, struct site *site)
{
    timers_set(&agent->retries, &site->retry, now(agent) + agent_backoff_us(agent, site->tries++));
}

static void load(struct agent *agent, struct site *site)
{
    site->request = SITE_LOADING;
    agent->database.register_load(agent->database.self, site->gtrid, site);
}

static struct db_register row_of(struct site *site, enum site_request request,
                                 const struct register_state *state)
{
    site->request = request;
    site->storing = *state;
    return (struct db_register){.gtrid = site->gtrid,
                                .sites = site->sites ? site->sites : "",
                                .begun_us = site->begun_us,
                                .state = *state};
}

static void store(struct agent *agent, struct site *site, enum site_request request,
                  const struct register_state *state)
{
    struct db_register row = row_of(site, request, state);
    agent->database.register_store(agent->database.self, &row, site->exists ? &site->state : NULL,
                                   site);
}

/* The first acceptance of all is inserted without a flush of its own. */
static bool may_be_unflushed(const struct register_state *state)
{
    return register_state_equal(state, &register_first_commit) && !PLANTED(ACCEPTED_UNFLUSHED);
}

/* A row of that age may have been cleaned, with what it promised; but none is while its branch is
 * prepared. */
static bool may_be_forgotten(const struct agent *agent, const struct site *site)
{
    int64_t half = (int64_t)(agent->barrier_keep_us / 2);
    bool prepared = site->entry && site->entry->branch.state == BRANCH_IN_DOUBT;
    return !site->exists && !prepared && !PLANTED(CLEANED_AS_FRESH) &&
           site->begun_us < agent->host.wall_us(agent->host.self) - half;
}

static bool cannot_tell(const struct agent *agent, const struct site *site)
{
    return site->damaged || may_be_forgotten(agent, site);
}

/* R3, as far as this process remembers what the row said: a register never goes back. */
static bool went_back(const struct site *site, const struct db_register *row)
{
    static const struct register_state absent;
    const struct register_state *was = &site->state, *is = row ? &row->state : &absent;
    if (!site->exists || site->unflushed || (row && register_decided(is)))
        return false;
    return !row || ballot_compare(is->promised, was->promised) < 0 ||
           ballot_compare(is->accepted, was->accepted) < 0 ||
           (is->value == REGISTER_EMPTY && was->value != REGISTER_EMPTY);
}

/* What was promised still binds, and can't be read any more. What is remembered of it stays, so
 * that the row is taken again when somebody has put it back. */
static void distrust(struct agent *agent, struct site *site)
{
    if (!site->damaged)
        host_log(&agent->host, LOG_ERROR,
                 "%s: its row in troth.register was deleted or set back since this process wrote "
                 "it: nothing is promised or accepted for it here any more",
                 site->gtrid);
    site->known = site->damaged = true;
}

static void take_row(struct agent *agent, struct site *site, const struct db_register *row)
{
    site->known = site->exists = true;
    site->damaged = !register_state_sound(&row->state);
    site->state = site->damaged ? (struct register_state){0} : row->state;
    site->unflushed = may_be_unflushed(&site->state);
    site->begun_us = row->begun_us;
    if (site->damaged)
        host_log(&agent->host, LOG_ERROR, "%s: its row in troth.register makes no sense",
                 site->gtrid);
    if (!site->sites && row->sites[0])
        site->sites = xstrdup(row->sites);
    if (register_decided(&site->state))
        site_learn(agent, site, site->state.value, "this site's register");
}

void site_loaded(void *self, void *tag, enum db_found found, const struct db_register *row)
{
    struct agent *agent = self;
    struct site *site = tag;
    CHECK(site->request == SITE_LOADING);
    site->request = SITE_IDLE;
    if (found == DB_FOUND_ERROR) {
        retry_later(agent, site);
    } else if (went_back(site, row)) {
        distrust(agent, site);
    } else if (row) {
        take_row(agent, site, row);
    } else {
        site->known = true;
        site->exists = site->unflushed = site->damaged = false;
        site->state = (struct register_state){0};
    }
    site_touch(agent, site);
}

/* ---- asks ---------------------------------------------------------------------------------- */

static void forget_wait(struct site *site, int index)
{
    site->wait_count--;
    for (int i = index; i < site->wait_count; i++)
        site->waits[i] = site->waits[i + 1];
}

void site_add_wait(struct site *site, const struct site_wait *wait)
{
    int lowest = 0;
    for (int i = 0; i < site->wait_count; i++) {
        if (site->waits[i].ask.ballot.site == wait->ask.ballot.site) {
            forget_wait(site, i);
            break;
        }
        if (ballot_compare(site->waits[i].ask.ballot, site->waits[lowest].ask.ballot) < 0)
            lowest = i;
    }
    if (site->wait_count == SITE_WAITS)
        forget_wait(site, lowest); /* it would be outbid anyway, and asks again */
    site->waits[site->wait_count++] = *wait;
}

/* Its store did not happen, or it is not known whether it did: unless there is a newer one. */
static void ask_anew(struct site *site)
{
    for (int i = 0; i < site->wait_count; i++) {
        if (site->waits[i].ask.ballot.site == site->serving.ask.ballot.site)
            return;
    }
    site_add_wait(site, &site->serving);
}

/* The database holds what is to be said already. */
static bool is_stored(const struct site *site, const struct register_state *state)
{
    return !site->unflushed && register_state_equal(state, &site->state);
}

/* The coordinator has accepted commit, durably, before it asks at its own ballot: where two are
 * enough this site's acceptance makes the decision. Then it is carried out in the same flush. */
static bool makes_decision(const struct agent *agent, const struct site *site,
                           const struct register_ask *ask)
{
    const struct entry *entry = site->entry;
    return ask->question == REGISTER_ACCEPT && ask->ballot.round == 0 && !site->exists &&
           !site->plain && site->sites && entry && entry->branch.state == BRANCH_IN_DOUBT &&
           proposer_first_other_decides(sites_count(site->sites) + 1) &&
           !heuristics_hinder(agent, entry);
}

static void accept_and_commit(struct agent *agent, struct site *site,
                              const struct register_state *state)
{
    struct db_register row = row_of(site, SITE_COMMITTING, state);
    site->entry->finish_us = now(agent);
    entry_event(agent, site->entry, BRANCH_ACCEPTS);
    agent->database.register_commit(agent->database.self, &row, site->entry->gid, site);
}

static void answer_next(struct agent *agent, struct site *site)
{
    struct site_wait wait = site->waits[0];
    struct register_state after = site->state;
    forget_wait(site, 0);
    if (cannot_tell(agent, site)) {
        reply(agent, site, &wait, REGISTER_HELD, &after);
        return;
    }
    enum register_reply said = register_answer(&after, &wait.ask);
    if (is_stored(site, &after)) {
        reply(agent, site, &wait, said, &after);
        return;
    }
    if (PLANTED(ANSWER_BEFORE_STORED)) {
        reply(agent, site, &wait, said, &after);
        wait.session = 0;
    }
    site->serving = wait;
    site->serving_reply = said;
    if (makes_decision(agent, site, &wait.ask))
        accept_and_commit(agent, site, &after);
    else
        store(agent, site, SITE_STORING_ANSWER, &after);
}

static void answer_own(struct agent *agent, struct site *site, const struct register_ask *ask)
{
    struct register_state after = site->state;
    enum register_reply said = register_answer(&after, ask);
    if (is_stored(site, &after)) {
        termination_own_reply(agent, site, ask, said);
        return;
    }
    site->serving = (struct site_wait){.ask = *ask};
    site->serving_reply = said;
    store(agent, site, SITE_STORING_OWN, &after);
}

/* Whatever is asked later is answered by the row alone. What was accepted here and is the decision
 * needs no flush more; a site that was never asked and has no branch need not begin to remember. */
static void keep_decision(struct agent *agent, struct site *site)
{
    struct register_state after = site->state;
    site->keep = false;
    if (site->damaged || !(site->exists || site->entry) || site->state.value == site->decision)
        return;
    if (register_learn(&after, site->decision))
        store(agent, site, SITE_STORING_DECISION, &after);
    else
        site_contradicted(agent, site, "its register");
}

static void after_store(struct agent *agent, struct site *site, enum site_request request)
{
    /* A crash here: what was answered is durable, and nobody heard it. Who asked asks again, and is
     * answered the same. */
    CRASH_POINT("participant.stored");
    if (request == SITE_STORING_OWN) {
        termination_own_reply(agent, site, &site->serving.ask, site->serving_reply);
    } else if (request == SITE_STORING_ANSWER) {
        if (!PLANTED(ANSWER_BEFORE_STORED))
            reply(agent, site, &site->serving, site->serving_reply, &site->state);
        if (site->serving.ask.question == REGISTER_PROMISE)
            termination_yield(agent, site);
    }
}

void site_stored(void *self, void *tag, enum db_stored stored)
{
    struct agent *agent = self;
    struct site *site = tag;
    enum site_request request = site->request;
    CHECK(request > SITE_COMMITTING);
    site->request = SITE_IDLE;
    if (stored == DB_STORED) {
        site->state = site->storing;
        site->exists = true;
        site->unflushed = false;
        site->tries = 0;
        after_store(agent, site, request);
    } else {
        site->known = false;
        site->keep = site->keep || request == SITE_STORING_DECISION;
        if (request == SITE_STORING_ANSWER)
            ask_anew(site);
        if (stored == DB_STORE_FAILED || site->tries++ >= CHANGES_AT_ONCE)
            retry_later(agent, site);
    }
    site_touch(agent, site);
}

/* Its branch is committed: as was decided by that. */
static void committed(struct agent *agent, struct site *site)
{
    site->state = site->storing;
    site->known = site->exists = true;
    /* A crash here: as in after_store(), and as where a branch is committed. */
    CRASH_POINT("participant.stored");
    heuristic_decided(agent, &site->id, true);
    entry_accepted(agent, site->entry, DB_ACCEPTED);
    reply_applied(agent, site, &site->serving, site->serving_reply, &site->state, true);
    site_learn(agent, site, REGISTER_COMMIT, "this site's register");
}

void site_committed(void *self, void *tag, enum db_accepted accepted)
{
    struct agent *agent = self;
    struct site *site = tag;
    CHECK(site->request == SITE_COMMITTING);
    site->request = SITE_IDLE;
    if (accepted == DB_ACCEPTED) {
        committed(agent, site);
    } else {
        entry_accepted(agent, site->entry, accepted);
        site->known = false;
        site->plain = true;
        ask_anew(site);
        if (accepted == DB_ACCEPT_UNKNOWN)
            retry_later(agent, site);
    }
    site_touch(agent, site);
}

/* ---- one after the other -------------------------------------------------------------------- */

bool site_step(struct agent *agent, struct site *site)
{
    struct register_ask own;
    bool proposes = termination_own_ask(site, &own);
    if (site->wait_count > 0 && site->decision != REGISTER_EMPTY) {
        struct site_wait wait = site->waits[0];
        forget_wait(site, 0);
        reply_decision(agent, site, &wait);
        return true;
    }
    if (site->request != SITE_IDLE || site->retry.place != 0)
        return false;
    if (site->wait_count == 0 && !proposes && !site->keep && !termination_needs_row(site))
        return false;
    if (!site->known)
        load(agent, site);
    else if (site->wait_count > 0)
        answer_next(agent, site);
    else if (proposes)
        answer_own(agent, site, &own);
    else if (site->keep)
        keep_decision(agent, site);
    else
        return false;
    return true;
}
