/* Carries out the actions of branches: votes, acknowledgements, requests to the database; and hears
 * the database's answers. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/crash.h"
#include "core/limits.h"
#include "participant/agent_private.h"

enum {
    RETRY_FIRST_US = 50 * 1000,
    RETRY_MOST_US = 5 * 1000 * 1000,
    RETRY_DOUBLINGS = 7, /* 50 ms doubled 7 times is over 5 s */
    RETRIES_A_LOG_LINE = 16,
};

static uint64_t now(const struct agent *agent)
{
    return agent->host.now_us(agent->host.self);
}

void agent_branch_fill(Wire__Branch *branch, const struct gid *id)
{
    wire__branch__init(branch);
    branch->epoch = id->tx.epoch;
    branch->seq = id->tx.seq;
    branch->branch = (uint32_t)id->branch;
}

/* ---- problems ------------------------------------------------------------------------------ */

static void problem_fill(struct problem *problem, struct agent *agent, const struct entry *entry,
                         const struct branch_action *action, const struct problem_context *context)
{
    problem_init(problem, agent, problem_operation(entry->work, context->worked), "unknown");
    switch (action->cause) {
    case BRANCH_CAUSE_NONE:
        break;
    case BRANCH_CAUSE_WORK:
        problem_work(problem, agent, entry->work, context);
        break;
    case BRANCH_CAUSE_DEADLINE:
        problem_deadline(problem, entry->branch.state == BRANCH_ENDED && !context->worked
                                      ? "the transaction's time was up before its work began"
                                  : entry->branch.state == BRANCH_ADOPTING
                                      ? "the transaction's time was up while its branch was adopted"
                                      : "the transaction's time was up while its work ran");
        break;
    case BRANCH_CAUSE_TOLD:
        problem_deadline(problem, "the coordinator gave the transaction up");
        break;
    case BRANCH_CAUSE_DATABASE_DOWN:
        problem_database(problem, agent, "the database can't be used");
        break;
    case BRANCH_CAUSE_LOST:
        problem_database(problem, agent,
                         "the connection to the database was lost while the transaction ended");
        break;
    case BRANCH_CAUSE_FENCED:
        PROBLEM_SAY(problem->code, "fenced");
        PROBLEM_SAY(problem->message,
                    "another site has begun to finish this transaction without its coordinator");
        break;
    case BRANCH_CAUSE_NOT_PREPARED:
    case BRANCH_CAUSE_FOREIGN:
        adoption_problem(problem, agent, entry, action->cause == BRANCH_CAUSE_FOREIGN,
                         context->said);
        break;
    case BRANCH_CAUSE_NOT_ADOPTED:
        problem_database(problem, agent, "the database could not be asked for what was prepared");
        PROBLEM_SAY(problem->detail, "%s", context->said);
        break;
    }
}

/* ---- votes and answers --------------------------------------------------------------------- */

static void send_vote(struct agent *agent, struct link *link, Wire__Vote *vote)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_VOTE;
    message.vote = vote;
    agent_send(agent, link, &message);
    /* A crash here: the vote is lost with the session, so it counts as no. A branch that is
     * prepared is found by the next scan, and the coordinator says abort. */
    CRASH_POINT("participant.voted");
}

void vote_refused(struct agent *agent, struct link *link, const Wire__Branch *branch,
                  const struct work_refusal *refusal)
{
    struct problem problem;
    problem_refused(&problem, agent, refusal);
    Wire__Vote vote = WIRE__VOTE__INIT;
    vote.branch = (Wire__Branch *)branch;
    vote.choice = WIRE__CHOICE__NO;
    vote.problem = &problem.wire;
    send_vote(agent, link, &vote);
}

/* NULL when the session of its PREPARE or LOOKUP is gone. */
static struct link *session_of(struct agent *agent, const struct entry *entry)
{
    for (int i = 0; i < agent->link_count; i++) {
        if (agent->links[i].peer && agent->links[i].session == entry->session)
            return &agent->links[i];
    }
    return NULL;
}

static void do_vote(struct agent *agent, struct entry *entry, const struct branch_action *action,
                    const struct problem_context *context)
{
    struct link *link = session_of(agent, entry);
    CHECK(link != NULL); /* a branch whose session is lost owes no vote */
    Wire__Branch branch;
    struct problem problem;
    Wire__Vote vote = WIRE__VOTE__INIT;
    agent_branch_fill(&branch, &entry->id);
    vote.branch = &branch;
    vote.choice = action->choice;
    char **results = NULL;
    if (action->choice == WIRE__CHOICE__NO || action->choice == WIRE__CHOICE__LOST) {
        problem_fill(&problem, agent, entry, action, context);
        vote.problem = &problem.wire;
    } else if (context->worked && context->worked->results) {
        vote.xid = entry->branch.xid;
        vote.n_results = (size_t)entry->work->request.call_count;
        results = xcalloc(vote.n_results + 1, sizeof(*results));
        for (size_t i = 0; i < vote.n_results; i++) {
            const char *result = context->worked->results[i];
            results[i] = (char *)(result && !context->too_large ? result : "");
        }
        vote.results = results;
        vote.results_dropped = context->too_large;
    } else {
        vote.xid = entry->branch.xid;
    }
    send_vote(agent, link, &vote);
    free(results);
}

static void do_word(struct agent *agent, const struct entry *entry,
                    const struct branch_action *action, const struct problem_context *context)
{
    struct link *link = session_of(agent, entry);
    struct problem problem;
    CHECK(link != NULL); /* likewise */
    if (action->cause != BRANCH_CAUSE_NONE)
        problem_fill(&problem, agent, entry, action, context);
    open_word(agent, entry, link, action->cause != BRANCH_CAUSE_NONE ? &problem.wire : NULL,
              context->worked);
}

static void send_finished(struct agent *agent, struct link *link, const struct gid *id, bool commit,
                          const char *hazard)
{
    Wire__Branch branch;
    Wire__Finished finished = WIRE__FINISHED__INIT;
    agent_branch_fill(&branch, id);
    finished.branch = &branch;
    finished.commit = commit;
    finished.hazard = hazard != NULL;
    finished.reason = (char *)(hazard ? hazard : "");
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_FINISHED;
    message.finished = &finished;
    agent_send(agent, link, &message);
}

static void keep_hazard(struct agent *agent, const struct entry *entry, const char *text,
                        uint64_t session)
{
    if (agent->untold_count == LIMIT_UNTOLD_HAZARDS)
        return;
    struct untold_hazard *hazard = xcalloc(1, sizeof(*hazard) + strlen(text) + 1);
    hazard->id = entry->id;
    strcpy(hazard->text, text);
    hazard->session = session;
    list_append(&agent->untold, &hazard->all);
    agent->untold_count++;
}

void hazards_tell(struct agent *agent, struct link *link)
{
    for (struct list *node = agent->untold.next; node != &agent->untold; node = node->next) {
        struct untold_hazard *hazard = CONTAINER(node, struct untold_hazard, all);
        if (strcmp(hazard->id.coordinator, link->coordinator) != 0)
            continue;
        hazard->session = link->session;
        send_finished(agent, link, &hazard->id, false, hazard->text);
    }
}

static void forget_hazards_of(struct agent *agent, uint64_t session)
{
    for (struct list *node = agent->untold.next, *next; node != &agent->untold; node = next) {
        struct untold_hazard *hazard = CONTAINER(node, struct untold_hazard, all);
        next = node->next;
        if (hazard->session != session)
            continue;
        list_remove(node);
        free(hazard);
        agent->untold_count--;
    }
}

void hazards_forget(struct agent *agent)
{
    for (int i = 0; i < agent->link_count && agent->untold_count > 0; i++) {
        const struct link *link = &agent->links[i];
        if (link->peer && peer_idle(link->peer))
            forget_hazards_of(agent, link->session);
    }
}

static void do_tell(struct agent *agent, struct entry *entry, const struct branch_action *action)
{
    struct link *link = agent_link(agent, entry->id.coordinator);
    const struct heuristic *row = action->against ? heuristic_find(agent, entry->gid) : NULL;
    const char *hazard = action->hazard;
    char text[HEURISTIC_TEXT_BYTES];
    if (row) {
        heuristic_text(row, text);
        hazard = text;
    }
    agent->metrics.hazards += hazard != NULL;
    if (hazard)
        host_log(&agent->host, LOG_ERROR, "hazard: %s: %s%s (xid %" PRIu64 ")", entry->gid,
                 !row             ? ""
                 : action->commit ? "the decision is commit, but "
                                  : "the decision is abort, but ",
                 hazard, entry->branch.xid);
    if (hazard && !action->commit)
        keep_hazard(agent, entry, hazard, link ? link->session : 0);
    if (!link)
        return; /* COMMIT comes again in the next session, and of an abort only a hazard matters */
    send_finished(agent, link, &entry->id, action->commit, hazard);
    /* A crash here: the acknowledgement is lost, FINISH comes again, and the database proves by the
     * xid that the branch was ended as decided. */
    CRASH_POINT("participant.acked");
}

static void do_answer(struct agent *agent, struct entry *entry, const struct branch_action *action)
{
    struct link *link = session_of(agent, entry);
    if (!link)
        return;
    Wire__Branch branch;
    Wire__Found found = WIRE__FOUND__INIT;
    agent_branch_fill(&branch, &entry->id);
    found.branch = &branch;
    found.committed = action->commit;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_FOUND;
    message.found = &found;
    agent_send(agent, link, &message);
}

/* ---- requests to the database -------------------------------------------------------------- */

static void do_work(struct agent *agent, struct entry *entry)
{
    uint64_t at = now(agent);
    list_remove(&entry->queued);
    open_takes(agent, entry);
    entry->work->given_us = at;
    entry->work->request.timeout_us = entry->deadline_us > at ? entry->deadline_us - at : 1;
    agent->database.work(agent->database.self, &entry->work->request, entry);
    /* A crash here: the database rolls the work back when it notices that the connection is gone,
     * or it is prepared and the next scan finds it. No vote was given: the coordinator aborts. */
    CRASH_POINT("participant.working");
}

static void do_look_up(struct agent *agent, struct entry *entry)
{
    gtrid_text gtrid;
    gtrid_format(gtrid, entry->id.cluster, entry->id.coordinator, entry->id.tx);
    agent->database.lookup(agent->database.self, gtrid, true, entry);
}

uint64_t agent_backoff_us(const struct agent *agent, unsigned tries)
{
    uint64_t delay_us = RETRY_FIRST_US << (tries < RETRY_DOUBLINGS ? tries : RETRY_DOUBLINGS);
    if (delay_us > RETRY_MOST_US)
        delay_us = RETRY_MOST_US;
    return delay_us / 2 + agent_random(agent) % (delay_us / 2 + 1);
}

/* What has to wait is tried again, as if the database had not carried it out. */
static void do_finish(struct agent *agent, struct entry *entry, bool commit)
{
    entry->finish_us = now(agent);
    if (heuristics_hinder(agent, entry))
        entry_step(agent, entry,
                   &(struct branch_event){.kind = BRANCH_FINISHED, .finish = DB_UNFINISHED});
    else
        agent->database.finish(agent->database.self, entry->gid, commit, entry);
}

static void do_retry(struct agent *agent, struct entry *entry)
{
    uint64_t at_us = now(agent) + agent_backoff_us(agent, entry->tries++);
    timers_set(&agent->timers, &entry->timer, at_us);
}

static void act(struct agent *agent, struct entry *entry, const struct branch_action *action,
                const struct problem_context *context)
{
    struct db_port *database = &agent->database;
    switch (action->kind) {
    case BRANCH_DO_ENQUEUE:
        list_append(entry->branch.open ? &agent->open_queue : &agent->queue, &entry->queued);
        break;
    case BRANCH_DO_DEQUEUE:
        list_remove(&entry->queued);
        break;
    case BRANCH_DO_WORK:
        do_work(agent, entry);
        break;
    case BRANCH_DO_CANCEL:
        database->cancel(database->self, entry);
        break;
    case BRANCH_DO_ROLLBACK:
        open_roll_back(agent, entry);
        break;
    case BRANCH_DO_ADOPT:
        adoption_ask(agent, entry);
        break;
    case BRANCH_DO_VOTE:
        do_vote(agent, entry, action, context);
        break;
    case BRANCH_DO_WORD:
        do_word(agent, entry, action, context);
        break;
    case BRANCH_DO_FINISH:
        do_finish(agent, entry, action->commit);
        break;
    case BRANCH_DO_STATUS:
        database->status(database->self, entry->branch.xid, entry);
        break;
    case BRANCH_DO_LOOK_UP:
        do_look_up(agent, entry);
        break;
    case BRANCH_DO_TELL:
        do_tell(agent, entry, action);
        break;
    case BRANCH_DO_REPORT:
        heuristic_ended(agent, entry, action);
        break;
    case BRANCH_DO_ANSWER:
        do_answer(agent, entry, action);
        break;
    case BRANCH_DO_ASK:
        scan_inquire_one(agent, entry);
        break;
    case BRANCH_DO_RETRY:
        do_retry(agent, entry);
        break;
    case BRANCH_DO_SCAN:
        scan_soon(agent);
        break;
    case BRANCH_DO_WARN:
        agent->metrics.hazards++;
        host_log(&agent->host, LOG_ERROR, "hazard: %s: %s", entry->gid, action->hazard);
        break;
    }
}

/* ---- steps --------------------------------------------------------------------------------- */

static void forget(struct agent *agent, struct entry *entry)
{
    timers_clear(&agent->timers, &entry->timer);
    map_remove(&agent->by_gid, &entry->node);
    site_detach(agent, entry);
    list_remove(&entry->all);
    list_remove(&entry->queued);
    work_free(entry->work);
    free(entry);
}

/* Its arguments go as soon as the database answered: branches in doubt may be many. */
static bool needs_work(enum branch_state state)
{
    return state == BRANCH_QUEUED || state == BRANCH_WORKING || state == BRANCH_CLOSING ||
           state == BRANCH_LOOKING;
}

static void step(struct agent *agent, struct entry *entry, const struct branch_event *event,
                 const struct problem_context *context)
{
    struct branch_actions actions;
    enum branch_state before = entry->branch.state;
    bool held = entry->branch.held;
    branch_step(&entry->branch, event, &actions);
    if (entry->branch.state != before)
        entry->scan = agent->scans;
    if (entry->branch.state == BRANCH_IN_DOUBT && entry->branch.state != before &&
        before != BRANCH_ACCEPTING)
        entry->doubt_us = agent->host.wall_us(agent->host.self);
    if (before == BRANCH_IN_DOUBT && entry->branch.state != before)
        entry->tries = 0; /* what was asked often is not yet tried often */
    if (entry->site && (entry->branch.state != before || entry->branch.held != held))
        site_touch(agent, entry->site);
    if (entry->branch.held && !held)
        host_log(&agent->host, LOG_WARNING,
                 "%s is held: its coordinator can't know any more what was decided; %s", entry->gid,
                 entry->site ? "the other participants are asked" : "an operator must end it");
    for (int i = 0; i < actions.count; i++)
        act(agent, entry, &actions.list[i], context);
    if (!entry->branch.retrying && !branch_bounded(&entry->branch))
        timers_clear(&agent->timers, &entry->timer);
    if (!needs_work(entry->branch.state)) {
        work_free(entry->work);
        entry->work = NULL;
    }
    if (entry->branch.state == BRANCH_ENDED)
        forget(agent, entry);
}

void entry_step(struct agent *agent, struct entry *entry, const struct branch_event *event)
{
    struct problem_context nothing = {0};
    step(agent, entry, event, &nothing);
}

void entry_step_said(struct agent *agent, struct entry *entry, const struct branch_event *event,
                     const char *said)
{
    struct problem_context context = {.said = said};
    step(agent, entry, event, &context);
}

void entry_event(struct agent *agent, struct entry *entry, enum branch_event_kind kind)
{
    entry_step(agent, entry, &(struct branch_event){.kind = kind});
}

/* The next that waits, or NULL. Branches, tasks and what is to be open take turns as long as they
 * wait. */
static struct list *next_queue(struct agent *agent)
{
    struct list *queues[] = {&agent->queue, &agent->task_queue, &agent->open_queue};
    for (int i = 0; i < 3; i++) {
        int at = (agent->turn + i) % 3;
        bool full = queues[at] == &agent->open_queue && agent->open == open_most(agent);
        if (list_empty(queues[at]) || full)
            continue;
        agent->turn = (at + 1) % 3;
        return queues[at];
    }
    return NULL;
}

void agent_pump(struct agent *agent)
{
    while (agent->working < agent->connections) {
        struct list *queue = next_queue(agent);
        if (!queue)
            return;
        if (queue == &agent->task_queue)
            tasks_start(agent);
        else
            entry_event(agent, CONTAINER(queue->next, struct entry, queued), BRANCH_STARTED);
    }
}

/* ---- what the database says ---------------------------------------------------------------- */

static void branch_worked(struct agent *agent, struct entry *entry, const struct db_worked *worked)
{
    CHECK(entry->branch.state == BRANCH_WORKING || entry->branch.state == BRANCH_CLOSING);
    struct problem_context context = {.worked = worked,
                                      .too_large = work_too_large(entry->work, worked),
                                      .deadline_us = entry->deadline_us};
    bool fenced = entry->site && site_was_asked(entry->site);
    if (entry->site && worked->outcome == DB_PREPARED && !fenced)
        site_prepared(agent, entry->site, false);
    if (worked->outcome == DB_PREPARED) {
        /* A crash here: prepared, and no vote was given. The session's end counts as no; the next
         * scan finds the gid, asks, and is told abort. */
        CRASH_POINT("participant.prepared");
    } else if (worked->outcome == DB_OPENED) {
        /* A crash here: its transaction is open, and nobody was told. The server rolls it back when
         * it notices that the connection is gone; the session's end tells the coordinator. */
        CRASH_POINT("participant.opened");
    } else if (worked->outcome == DB_COMMITTED && entry->branch.mode == DB_ONE_PHASE) {
        /* A crash here: committed, and nobody was told. The coordinator asks with LOOKUP, and the
         * barrier row proves it. */
        CRASH_POINT("participant.one-phase-committed");
        if (context.too_large)
            host_log(&agent->host, LOG_WARNING,
                     "%s is committed, but its results are over %d bytes and are left out",
                     entry->gid, LIMIT_RESULT_BYTES);
    }
    step(agent, entry,
         &(struct branch_event){.kind = BRANCH_WORKED,
                                .outcome = worked->outcome,
                                .met = worked->failed_statement < 0 && !context.too_large,
                                .fenced = fenced,
                                .xid = worked->xid},
         &context);
    if (worked->outcome == DB_OPENED)
        open_hurry(agent, entry);
}

static void on_worked(void *self, void *tag, const struct db_worked *worked)
{
    struct agent *agent = self;
    bool task = *(const enum tag_kind *)tag == TAG_TASK;
    CHECK(agent->working > 0);
    if (task)
        agent->working--;
    else
        open_leaves(agent, tag, worked->outcome);
    measure_work(agent, task ? ((struct errand *)tag)->work : ((struct entry *)tag)->work, task,
                 worked);
    if (task)
        task_worked(agent, tag, worked);
    else
        branch_worked(agent, tag, worked);
    agent_pump(agent);
}

static void on_finished(void *self, void *tag, enum db_finish result, const char *reason)
{
    struct agent *agent = self;
    struct entry *entry = tag;
    measure_finish(agent, entry, entry->branch.decision == BRANCH_COMMIT, result);
    if (result == DB_FINISHED && entry->branch.decision == BRANCH_COMMIT) {
        /* A crash here: committed and not acknowledged. FINISH comes again and finds the gid gone;
         * the xid proves the commit. */
        CRASH_POINT("participant.committed");
    } else if (result == DB_FINISHED) {
        /* A crash here: rolled back and not acknowledged. Nothing is owed: unknown means aborted.
         */
        CRASH_POINT("participant.rolled-back");
    } else if (result == DB_UNFINISHED && entry->tries % RETRIES_A_LOG_LINE == 2) {
        host_log(&agent->host, LOG_WARNING, "%s of %s failed, try %u: %s; it is tried again",
                 entry->branch.decision == BRANCH_COMMIT ? "the commit" : "the rollback",
                 entry->gid, entry->tries + 1, reason ? reason : "no reason given");
    }
    entry_step(agent, entry, &(struct branch_event){.kind = BRANCH_FINISHED, .finish = result});
}

void entry_accepted(struct agent *agent, struct entry *entry, enum db_accepted accepted)
{
    if (accepted == DB_ACCEPTED) {
        measure_finish(agent, entry, true, DB_FINISHED);
        /* A crash here: accepted and committed, and nobody heard. Who asked asks again; the row
         * says it, and COMMIT finds the gid gone, and the xid proves it. */
        CRASH_POINT("participant.committed");
    }
    struct heuristic *row = heuristic_find(agent, entry->gid);
    entry_step(agent, entry, &(struct branch_event){.kind = BRANCH_ACCEPTED, .accepted = accepted});
    if (row)
        heuristic_apply(agent, row); /* it was written while nothing could be done about it */
}

static void on_status(void *self, void *tag, enum db_status status)
{
    entry_step(self, tag, &(struct branch_event){.kind = BRANCH_STATUS, .status = status});
}

static void on_looked_up(void *self, void *tag, enum db_found found, const char *result)
{
    if (*(const enum tag_kind *)tag == TAG_TASK)
        task_looked_up(self, tag, found, result);
    else
        entry_step(self, tag, &(struct branch_event){.kind = BRANCH_LOOKED_UP, .found = found});
}

static void on_scanned(void *self, void *tag, bool ok, const struct db_prepared *prepared,
                       int count, int slots)
{
    CHECK(tag == self);
    scan_done(self, ok, prepared, count, slots);
}

static void on_up(void *self, const char *database)
{
    struct agent *agent = self;
    agent->database_up = true;
    snprintf(agent->database_identity, sizeof(agent->database_identity), "%s", database);
    agent->database_reason[0] = '\0';
    host_log(&agent->host, LOG_DEBUG, "the database is up");
    status_send_all(agent);
    for (struct list *node = agent->entries.next; node != &agent->entries; node = node->next) {
        struct entry *entry = CONTAINER(node, struct entry, all);
        if (entry->branch.retrying)
            timers_set(&agent->timers, &entry->timer, now(agent));
    }
    sites_database_up(agent);
    heuristics_database_up(agent);
    scan_start(agent);
}

static void on_down(void *self, const char *reason)
{
    struct agent *agent = self;
    agent->database_up = agent->facts.known = false;
    snprintf(agent->database_reason, sizeof(agent->database_reason), "%s", reason);
    host_log(&agent->host, LOG_DEBUG, "the database is down: %s", reason);
    while (!list_empty(&agent->queue))
        entry_event(agent, CONTAINER(agent->queue.next, struct entry, queued),
                    BRANCH_DATABASE_DOWN);
    open_database_down(agent);
    tasks_database_down(agent);
    heuristics_database_down(agent);
    status_send_all(agent);
}

void agent_listen(struct agent *agent)
{
    agent->events = (struct db_events){.self = agent,
                                       .up = on_up,
                                       .down = on_down,
                                       .worked = on_worked,
                                       .adopted = adoption_answered,
                                       .finished = on_finished,
                                       .status = on_status,
                                       .looked_up = on_looked_up,
                                       .register_loaded = site_loaded,
                                       .register_stored = site_stored,
                                       .register_committed = site_committed,
                                       .inspected = evidence_inspected,
                                       .heuristic_stored = order_stored,
                                       .heuristics_loaded = heuristics_loaded,
                                       .scanned = on_scanned};
}
