/* Branches that somebody else has prepared, on a connection of their own: the database says whether
 * one is there and can be finished here. Then it is a branch in doubt like any other. */
#include "core/check.h"
#include "core/crash.h"
#include "core/planted.h"
#include "participant/agent_private.h"

/* ---- taken in ------------------------------------------------------------------------------ */

static void refuse_not_prepared(struct work_refusal *refusal, const char *gid, const char *why)
{
    refusal->code = "not_prepared";
    error_set(&refusal->error, ERROR_REFUSED, "%s can't be adopted: %s", gid, why);
}

/* The only thing that may be known of it is that a scan found it. */
static bool is_strange(struct agent *agent, const struct entry *entry, const char *gid,
                       struct work_refusal *refusal)
{
    if (heuristic_find(agent, gid)) {
        refuse_not_prepared(refusal, gid, "an operator has ordered how it ends");
    } else if (entry && entry->branch.state != BRANCH_IN_DOUBT) {
        refuse_not_prepared(refusal, gid, "it is being ended");
    } else if (entry && entry->site) {
        refusal->code = "fenced";
        error_set(&refusal->error, ERROR_REFUSED,
                  "another site has begun to finish this transaction without its coordinator");
    }
    return refusal->code != NULL;
}

static bool refused(struct agent *agent, const struct entry *entry, const Wire__Prepare *prepare,
                    const struct gid *id, const char *gid, struct work_refusal *refusal)
{
    *refusal = (struct work_refusal){.operation = ""};
    if (is_strange(agent, entry, gid, refusal) || agent_without_database(agent, "", refusal) ||
        agent_too_late("", prepare->timeout_ms, refusal))
        return true;
    if (prepare->xid == 0) {
        refusal->code = "bad_request";
        error_set(&refusal->error, ERROR_PROTOCOL, "a branch is to be adopted without its xid");
        return true;
    }
    return prepare->n_sites > 0 && agent_sites_refused(agent, id, prepare, refusal);
}

/* A second PREPARE of what is being prepared or adopted here, or was voted for. */
static bool is_repeated(const struct entry *entry)
{
    switch (entry->branch.state) {
    case BRANCH_QUEUED:
    case BRANCH_WORKING:
    case BRANCH_OPEN:
    case BRANCH_CLOSING:
    case BRANCH_ADOPTING:
    case BRANCH_LOOKING:
        return true;
    case BRANCH_IN_DOUBT:
        return !entry->branch.orphan;
    default:
        return false;
    }
}

void adoption_take(struct agent *agent, struct link *link, const Wire__Prepare *prepare,
                   const struct gid *id, const char *gid)
{
    struct work_refusal refusal;
    struct entry *entry = entry_find(agent, gid);
    if (entry && is_repeated(entry)) {
        host_log(&agent->host, LOG_WARNING, "%s is here and %s: a second PREPARE is ignored", gid,
                 branch_word(entry->branch.state));
        return;
    }
    if (refused(agent, entry, prepare, id, gid, &refusal)) {
        vote_refused(agent, link, prepare->branch, &refusal);
        scan_soon(agent); /* what is prepared is found, and its coordinator says abort */
        return;
    }
    if (!entry)
        entry = entry_new(agent, id, gid);
    if (prepare->n_sites > 0)
        site_attach(agent, entry, prepare->begun_us, prepare);
    entry->claimed_xid = prepare->xid;
    entry->session = link->session;
    entry->deadline_us =
        agent->host.now_us(agent->host.self) + (uint64_t)prepare->timeout_ms * 1000;
    timers_set(&agent->timers, &entry->timer, entry->deadline_us);
    entry_event(agent, entry, BRANCH_HANDED_OVER);
}

/* ---- asked --------------------------------------------------------------------------------- */

void adoption_ask(struct agent *agent, struct entry *entry)
{
    const struct site *site = entry->site;
    struct db_register row;
    if (site)
        row = (struct db_register){
            .gtrid = site->gtrid, .sites = site->sites, .begun_us = site->begun_us};
    agent->database.adopt(agent->database.self, entry->gid, entry->claimed_xid, site ? &row : NULL,
                          entry);
}

void adoption_answered(void *self, void *tag, enum db_adopted adopted, const char *reason)
{
    struct agent *agent = self;
    struct entry *entry = tag;
    CHECK(entry->branch.state == BRANCH_ADOPTING);
    agent->metrics.adopted[adopted]++;
    if (adopted == DB_ADOPT_MISSING && PLANTED(OPEN_ADOPT_UNSEEN))
        adopted = DB_ADOPTED;
    if (adopted == DB_ADOPTED) {
        if (entry->site)
            site_prepared(agent, entry->site, true);
        /* A crash here: prepared by somebody else, of three phases with its row, and no vote was
         * given. The session's end counts as no; the next scan finds it and is told abort. */
        CRASH_POINT("participant.adopted");
    }
    entry_step_said(agent, entry,
                    &(struct branch_event){
                        .kind = BRANCH_ADOPTED, .adopted = adopted, .xid = entry->claimed_xid},
                    reason);
}

void adoption_problem(struct problem *problem, const struct agent *agent, const struct entry *entry,
                      bool foreign, const char *reason)
{
    PROBLEM_SAY(problem->code, "%s", foreign ? "not_ours" : "not_prepared");
    PROBLEM_SAY(problem->message,
                foreign ? "participant %s can't finish %s, which another role "
                          "has prepared"
                        : "in the database of participant %s %s is not prepared",
                agent->participant, entry->gid);
    PROBLEM_SAY(problem->detail, "%s", reason);
    PROBLEM_SAY(problem->hint,
                foreign
                    ? "prepare it as the role of postgres.conninfo, or make that a superuser"
                    : "PREPARE TRANSACTION comes before it is handed over, with the gid that it "
                      "was joined with, in that database");
}
