/* Branches that are worked at step by step. Each holds a connection from its first Work until its
 * end, so only a part of the connections is given to them: the others wait. */
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/crash.h"
#include "participant/agent_private.h"

/* A client may think for as long as its deadline lets it, which may be a day: nobody who stops a
 * participant means to wait for that. */
enum { DRAIN_US = 10 * 1000 * 1000 };

int open_most(const struct agent *agent)
{
    return agent->connections > 1 ? agent->connections / 2 : 1;
}

/* ---- answers ------------------------------------------------------------------------------- */

static void send_word(struct agent *agent, struct link *link, Wire__Worked *worked)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_WORKED;
    message.worked = worked;
    agent_send(agent, link, &message);
    /* A crash here: the server rolls the open transaction back. The session's end tells the
     * coordinator, which aborts. */
    CRASH_POINT("participant.step-answered");
}

static void refuse(struct agent *agent, struct link *link, const Wire__Work *message,
                   const struct work_refusal *refusal)
{
    struct problem problem;
    problem_refused(&problem, agent, refusal);
    Wire__Worked worked = WIRE__WORKED__INIT;
    worked.branch = message->branch;
    worked.number = message->number;
    worked.problem = &problem.wire;
    send_word(agent, link, &worked);
}

void open_word(struct agent *agent, const struct entry *entry, struct link *link,
               Wire__Problem *problem, const struct db_worked *said)
{
    Wire__Branch branch;
    Wire__Worked worked = WIRE__WORKED__INIT;
    const char *result = said && said->results && !problem ? said->results[0] : NULL;
    agent_branch_fill(&branch, &entry->id);
    worked.branch = &branch;
    worked.number = entry->number;
    worked.result = (char *)(result ? result : "");
    worked.problem = problem;
    send_word(agent, link, &worked);
}

/* ---- work ---------------------------------------------------------------------------------- */

static void refuse_closed(const struct agent *agent, const char *operation,
                          struct work_refusal *refusal)
{
    *refusal = (struct work_refusal){.operation = operation, .code = "not_open"};
    error_set(&refusal->error, ERROR_REFUSED,
              "the transaction is not open any more at participant %s", agent->participant);
    error_hint(&refusal->error, "its time was up, or its connection was lost: begin again");
}

/* More of it can come now. */
static bool is_ready(const struct entry *entry, const struct link *link)
{
    return entry->branch.state == BRANCH_OPEN && entry->session == link->session;
}

static bool work_refused(const struct agent *agent, const struct entry *entry,
                         const Wire__Work *message, struct work_refusal *refusal)
{
    const char *operation = message->call ? message->call->operation : "";
    *refusal = (struct work_refusal){.operation = operation};
    if (!message->call || message->number == 0) {
        refusal->code = "bad_request";
        error_set(&refusal->error, ERROR_PROTOCOL, "a Work without a call or a number");
    } else if (entry ? message->number != entry->number + 1 : message->number != 1) {
        refuse_closed(agent, operation, refusal);
    } else if (entry) {
        agent_too_late(operation, message->timeout_ms, refusal);
    } else {
        agent_unwilling(agent, operation, message->timeout_ms, refusal);
    }
    return refusal->code != NULL;
}

static void begin(struct agent *agent, struct link *link, struct entry *entry, struct work *work,
                  uint32_t timeout_ms)
{
    entry->work = work;
    entry->session = link->session;
    entry->deadline_us = agent->host.now_us(agent->host.self) + (uint64_t)timeout_ms * 1000;
    timers_set(&agent->timers, &entry->timer, entry->deadline_us);
    entry_step(agent, entry,
               &(struct branch_event){.kind = BRANCH_RECEIVED, .mode = work->request.mode});
    agent_pump(agent);
}

void open_work(struct agent *agent, struct link *link, const Wire__Work *message,
               const struct gid *id, const char *gid)
{
    struct work_refusal refusal;
    struct work *work = NULL;
    struct entry *entry = entry_find(agent, gid);
    /* A crash here: nothing of this call happened. What is open the server rolls back, and the
     * session's end tells the coordinator. */
    CRASH_POINT("participant.work-received");
    if (entry && entry->branch.state == BRANCH_CLOSING) {
        refuse_closed(agent, message->call ? message->call->operation : "", &refusal);
        refuse(agent, link, message, &refusal);
        return;
    }
    if (entry && !is_ready(entry, link)) {
        host_log(&agent->host, LOG_WARNING, "%s is here and %s: Work is ignored", gid,
                 branch_word(entry->branch.state));
        return;
    }
    if (!work_refused(agent, entry, message, &refusal))
        work = work_new_step(agent->operations, message->call, id, gid, &refusal);
    if (!work) {
        refuse(agent, link, message, &refusal);
        if (entry)
            entry_event(agent, entry, BRANCH_REFUSED);
        return;
    }
    if (!entry)
        entry = entry_new(agent, id, gid);
    entry->number = message->number;
    begin(agent, link, entry, work, message->timeout_ms);
}

/* ---- its end ------------------------------------------------------------------------------- */

void open_continue(struct agent *agent, struct link *link, const Wire__Prepare *prepare,
                   const struct gid *id, const char *gid)
{
    struct work_refusal refusal;
    struct entry *entry = entry_find(agent, gid);
    if (!entry || entry->branch.state == BRANCH_CLOSING) {
        refuse_closed(agent, "", &refusal);
        vote_refused(agent, link, prepare->branch, &refusal);
        return;
    }
    if (!is_ready(entry, link)) {
        host_log(&agent->host, LOG_WARNING, "%s is here and %s: its PREPARE is ignored", gid,
                 branch_word(entry->branch.state));
        return;
    }
    if (agent_too_late("", prepare->timeout_ms, &refusal) ||
        (prepare->n_sites > 0 && agent_sites_refused(agent, id, prepare, &refusal))) {
        vote_refused(agent, link, prepare->branch, &refusal);
        entry_event(agent, entry, BRANCH_REFUSED);
        return;
    }
    struct work *work = work_new_end(DB_PREPARE, id, gid);
    entry->work = work;
    if (prepare->n_sites > 0)
        agent_register_work(agent, entry, prepare);
    begin(agent, link, entry, work, prepare->timeout_ms);
}

void open_roll_back(struct agent *agent, struct entry *entry)
{
    work_free(entry->work);
    entry->work = work_new_end(DB_ROLLBACK, &entry->id, entry->gid);
    entry->work->given_us = agent->host.now_us(agent->host.self);
    agent->database.work(agent->database.self, &entry->work->request, entry);
}

/* ---- connections --------------------------------------------------------------------------- */

void open_takes(struct agent *agent, struct entry *entry)
{
    if (entry->holds)
        return;
    agent->working++;
    entry->holds = entry->branch.open;
    agent->open += entry->holds;
}

void open_leaves(struct agent *agent, struct entry *entry, enum db_outcome outcome)
{
    if (outcome == DB_OPENED)
        return;
    CHECK(agent->working > 0);
    agent->working--;
    agent->open -= entry->holds;
    entry->holds = false;
}

void open_hurry(struct agent *agent, struct entry *entry)
{
    if (!agent->draining || entry->branch.state != BRANCH_OPEN ||
        entry->deadline_us <= agent->open_until_us)
        return;
    entry->deadline_us = agent->open_until_us;
    timers_set(&agent->timers, &entry->timer, entry->deadline_us);
}

void open_drain(struct agent *agent)
{
    agent->open_until_us = agent->host.now_us(agent->host.self) + DRAIN_US;
    for (struct list *node = agent->entries.next; node != &agent->entries; node = node->next)
        open_hurry(agent, CONTAINER(node, struct entry, all));
}

void open_database_down(struct agent *agent)
{
    while (!list_empty(&agent->open_queue))
        entry_event(agent, CONTAINER(agent->open_queue.next, struct entry, queued),
                    BRANCH_DATABASE_DOWN);
    for (struct list *node = agent->entries.next; node != &agent->entries; node = node->next) {
        struct entry *entry = CONTAINER(node, struct entry, all);
        if (entry->branch.state == BRANCH_OPEN)
            entry_event(agent, entry, BRANCH_DATABASE_DOWN);
    }
}
