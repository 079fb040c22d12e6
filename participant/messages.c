/* What a coordinator says in its session: work, decisions, verdicts, questions. */
#include <stdio.h>
#include <string.h>

#include "core/crash.h"
#include "core/limits.h"
#include "participant/agent_private.h"

/* The id of a branch that this session's coordinator speaks of. False: no such branch can be. */
static bool read_branch(const struct link *link, const Wire__Branch *branch, struct gid *id,
                        gid_text gid)
{
    if (!branch || branch->seq == 0 || branch->branch >= LIMIT_BRANCHES) {
        host_log(&link->agent->host, LOG_WARNING,
                 "coordinator %s sent a message about an impossible branch", link->coordinator);
        return false;
    }
    *id = (struct gid){.tx = {.epoch = branch->epoch, .seq = branch->seq},
                       .branch = (int)branch->branch};
    snprintf(id->cluster, sizeof(id->cluster), "%s", link->agent->cluster);
    snprintf(id->coordinator, sizeof(id->coordinator), "%s", link->coordinator);
    gid_format(gid, id->cluster, id->coordinator, id->tx, id->branch);
    return true;
}

/* ---- work ---------------------------------------------------------------------------------- */

bool agent_without_database(const struct agent *agent, const char *operation,
                            struct work_refusal *refusal)
{
    *refusal = (struct work_refusal){.operation = operation};
    if (agent->database_up)
        return false;
    refusal->code = "database_down";
    error_set(&refusal->error, ERROR_IO, "the database can't be used");
    error_detail(&refusal->error, "%s",
                 agent->database_reason[0] ? agent->database_reason : "no connection was made yet");
    error_hint(&refusal->error,
               "the log of troth-participant %s tells more; its connection is set by "
               "postgres.conninfo",
               agent->participant);
    return true;
}

bool agent_too_late(const char *operation, uint32_t timeout_ms, struct work_refusal *refusal)
{
    *refusal = (struct work_refusal){.operation = operation};
    if (timeout_ms > 0)
        return false;
    refusal->code = "deadline";
    error_set(&refusal->error, ERROR_BUSY, "the transaction's time was up before it arrived");
    error_hint(&refusal->error, "allow more time (--timeout, timeouts.transaction)");
    return true;
}

bool agent_unwilling(const struct agent *agent, const char *operation, uint32_t timeout_ms,
                     struct work_refusal *refusal)
{
    *refusal = (struct work_refusal){.operation = operation};
    if (!agent->draining)
        return agent_without_database(agent, operation, refusal) ||
               agent_too_late(operation, timeout_ms, refusal);
    refusal->code = "draining";
    error_set(&refusal->error, ERROR_BUSY, "participant %s is being stopped", agent->participant);
    error_hint(&refusal->error, "try again when it is back");
    return true;
}

bool agent_sites_refused(const struct agent *agent, const struct gid *id,
                         const Wire__Prepare *prepare, struct work_refusal *refusal)
{
    if (!agent->door) {
        refusal->code = "no_listen";
        error_set(&refusal->error, ERROR_REFUSED, "other participants can't reach participant %s",
                  agent->participant);
        error_hint(&refusal->error, "set `listen` in its participant.yaml");
    } else if (!sites_valid(prepare->sites, prepare->n_sites) || site_taken(agent, id) ||
               (size_t)id->branch >= prepare->n_sites ||
               strcmp(prepare->sites[id->branch]->participant, agent->participant) != 0) {
        refusal->code = "bad_request";
        error_set(&refusal->error, ERROR_PROTOCOL,
                  "the sites of a three-phase transaction make no sense");
    }
    return refusal->code != NULL;
}

void agent_register_work(struct agent *agent, struct entry *entry, const Wire__Prepare *prepare)
{
    entry->work->request.sites = site_attach(agent, entry, prepare->begun_us, prepare)->sites;
}

static void on_prepare(struct agent *agent, struct link *link, const Wire__Prepare *prepare)
{
    struct gid id;
    gid_text gid;
    gtrid_text gtrid;
    struct work_refusal refusal;
    /* A crash here: nothing happened yet; what is open the server rolls back, and what somebody
     * else has prepared the next scan finds. The session's end counts as a no. */
    CRASH_POINT("participant.prepare-received");
    if (!read_branch(link, prepare->branch, &id, gid))
        return;
    if (prepare->mode == WIRE__MODE__CONTINUE) {
        open_continue(agent, link, prepare, &id, gid);
        return;
    }
    if (prepare->mode == WIRE__MODE__ADOPT) {
        adoption_take(agent, link, prepare, &id, gid);
        return;
    }
    struct entry *known = entry_find(agent, gid);
    if (known) {
        host_log(&agent->host, LOG_WARNING, "%s is here and %s: a second PREPARE is ignored", gid,
                 branch_word(known->branch.state));
        return;
    }
    bool three_phase = prepare->n_sites > 0 && prepare->mode == WIRE__MODE__PREPARE;
    const char *operation = prepare->n_calls > 0 ? prepare->calls[0]->operation : "";
    if (agent_unwilling(agent, operation, prepare->timeout_ms, &refusal) ||
        (three_phase && agent_sites_refused(agent, &id, prepare, &refusal))) {
        vote_refused(agent, link, prepare->branch, &refusal);
        return;
    }
    gtrid_format(gtrid, id.cluster, id.coordinator, id.tx);
    struct work *work = work_new(agent->operations, prepare, gid, gtrid, &refusal);
    if (!work) {
        vote_refused(agent, link, prepare->branch, &refusal);
        return;
    }
    struct entry *entry = entry_new(agent, &id, gid);
    entry->work = work;
    if (three_phase && work->request.mode == DB_PREPARE)
        agent_register_work(agent, entry, prepare);
    entry->session = link->session;
    entry->deadline_us =
        agent->host.now_us(agent->host.self) + (uint64_t)prepare->timeout_ms * 1000;
    timers_set(&agent->timers, &entry->timer, entry->deadline_us);
    entry_step(agent, entry,
               &(struct branch_event){.kind = BRANCH_RECEIVED,
                                      .mode = work->request.mode,
                                      .one_phase = prepare->mode == WIRE__MODE__ONE_PHASE});
    agent_pump(agent);
}

static void on_work(struct agent *agent, struct link *link, const Wire__Work *work)
{
    struct gid id;
    gid_text gid;
    if (read_branch(link, work->branch, &id, gid))
        open_work(agent, link, work, &id, gid);
}

/* ---- decisions and questions --------------------------------------------------------------- */

/* An abort can do no more about a branch that is not known here than the scan that follows the
 * database's return: that finds what is prepared, and asks. So it is not kept until then; as many
 * may come as work is refused meanwhile. With the xid of a vote it can prove a hazard, and is. */
static bool is_left_to_the_scan(const struct agent *agent, const Wire__Finish *finish)
{
    return !agent->database_up && !finish->commit && finish->xid == 0;
}

/* A decision. A branch that is not known here was ended, or an earlier run of this process prepared
 * it: the database knows which. */
static void on_finish(struct agent *agent, struct link *link, const Wire__Finish *finish)
{
    struct gid id;
    gid_text gid;
    if (finish->commit) {
        /* A crash here: still prepared. FINISH comes again in the next session. */
        CRASH_POINT("participant.commit-received");
    } else {
        /* A crash here: perhaps prepared. The next scan finds it and is told abort. */
        CRASH_POINT("participant.abort-received");
    }
    if (!read_branch(link, finish->branch, &id, gid))
        return;
    struct heuristic *row = heuristic_find(agent, gid);
    heuristic_decided(agent, &id, finish->commit);
    if (row)
        heuristic_apply(agent, row); /* the decision is compared with it */
    struct entry *entry = entry_find(agent, gid);
    if (!entry && !row && is_left_to_the_scan(agent, finish))
        return;
    if (!entry)
        entry = entry_new(agent, &id, gid);
    entry_step(
        agent, entry,
        &(struct branch_event){.kind = BRANCH_TOLD, .commit = finish->commit, .xid = finish->xid});
}

static void on_verdicts(struct agent *agent, struct link *link, const Wire__Verdicts *verdicts)
{
    bool changed = false;
    for (size_t i = 0; i < verdicts->n_judged; i++) {
        const Wire__Judged *judged = verdicts->judged[i];
        struct gid id;
        gid_text gid;
        if (!read_branch(link, judged->branch, &id, gid))
            continue;
        struct entry *entry = entry_find(agent, gid);
        if (!entry)
            continue; /* it was ended since it was asked about */
        bool held = entry->branch.held;
        if (judged->verdict == WIRE__VERDICT__VERDICT_COMMIT ||
            judged->verdict == WIRE__VERDICT__VERDICT_ABORT)
            heuristic_decided(agent, &id, judged->verdict == WIRE__VERDICT__VERDICT_COMMIT);
        entry_step(agent, entry,
                   &(struct branch_event){
                       .kind = BRANCH_JUDGED, .verdict = judged->verdict, .xid = judged->xid});
        entry = entry_find(agent, gid);
        if (entry && entry->site && judged->verdict == WIRE__VERDICT__VERDICT_WAIT)
            termination_wait(agent, entry->site, link);
        changed = changed || held != (entry && entry->branch.held);
    }
    /* An operator must hear of what is held at once, not after the next sweep. */
    if (changed)
        status_send_all(agent);
}

static void on_lookup(struct agent *agent, struct link *link, const Wire__Lookup *lookup)
{
    struct gid id;
    gid_text gid;
    if (!read_branch(link, lookup->branch, &id, gid))
        return;
    link->quiet_since_us = agent->host.now_us(agent->host.self);
    struct entry *entry = entry_find(agent, gid);
    if (entry && !entry->branch.one_phase) {
        host_log(&agent->host, LOG_WARNING, "%s is not a branch of one phase; LOOKUP is ignored",
                 gid);
        return;
    }
    if (!entry)
        entry = entry_new(agent, &id, gid);
    entry->session = link->session;
    entry_event(agent, entry, BRANCH_LOOKED_FOR);
}

static void on_settled(struct agent *agent, const struct link *link, const Wire__Settled *settled)
{
    if (settled->n_seqs > 0)
        agent->database.register_settle(agent->database.self, link->coordinator, settled->epoch,
                                        settled->seqs, settled->n_seqs);
}

/* A coordinator asks what the database says; it looks at nothing else here. */
static void on_query(struct agent *agent, const struct link *link, const Wire__Query *query)
{
    if (query->what == WIRE__WHAT__EVIDENCE || query->what == WIRE__WHAT__PREPARED ||
        query->what == WIRE__WHAT__DIAGNOSIS)
        inquiry_take(agent, link->session, query);
    else
        host_log(&agent->host, LOG_WARNING,
                 "coordinator %s asked something that a participant does not answer (%d); it is "
                 "ignored",
                 link->coordinator, (int)query->what);
}

void agent_message(void *self, struct peer *peer, const Wire__Message *message)
{
    struct link *link = self;
    struct agent *agent = link->agent;
    if (link->peer != peer)
        return; /* its name was refused */
    switch (message->body_case) {
    case WIRE__MESSAGE__BODY_PREPARE:
        on_prepare(agent, link, message->prepare);
        break;
    case WIRE__MESSAGE__BODY_WORK:
        on_work(agent, link, message->work);
        break;
    case WIRE__MESSAGE__BODY_FINISH:
        on_finish(agent, link, message->finish);
        break;
    case WIRE__MESSAGE__BODY_VERDICTS:
        on_verdicts(agent, link, message->verdicts);
        break;
    case WIRE__MESSAGE__BODY_LOOKUP:
        on_lookup(agent, link, message->lookup);
        break;
    case WIRE__MESSAGE__BODY_EXECUTE:
        task_execute(agent, link, message->execute);
        break;
    case WIRE__MESSAGE__BODY_ASK:
        site_ask(agent, link->coordinator, true, link->session, message->ask);
        break;
    case WIRE__MESSAGE__BODY_REPLY:
        termination_reply(agent, NULL, link->coordinator, message->reply);
        break;
    case WIRE__MESSAGE__BODY_DECIDED:
        site_hear_decided(agent, link->coordinator, message->decided);
        break;
    case WIRE__MESSAGE__BODY_SETTLED:
        on_settled(agent, link, message->settled);
        break;
    case WIRE__MESSAGE__BODY_QUERY:
        on_query(agent, link, message->query);
        break;
    case WIRE__MESSAGE__BODY_TX_ORDER:
        order_take(agent, link, NULL, message->tx_order);
        break;
    default:
        host_log(&agent->host, LOG_WARNING,
                 "coordinator %s sent a message that is not for a participant (%d); it is ignored",
                 link->coordinator, (int)message->body_case);
    }
}
