#include "participant/metrics.h"

#include <stdio.h>
#include <string.h>

#include "participant/agent_private.h"

/* ---- counting ------------------------------------------------------------------------------ */

/* As PostgreSQL's documentation, appendix A, names them; the last ones are no SQL errors. */
enum { CLASS_OTHER = METRIC_CLASSES - 3, CLASS_EXPECTATION, CLASS_CONNECTION };
static const char *const classes[METRIC_CLASSES] = {
    "08", "0A", "21", "22", "23", "25", "28",    "40",          "42",
    "53", "54", "55", "57", "58", "P0", "other", "expectation", "connection"};

static int class_of(const struct db_worked *worked)
{
    const char *state = worked->sqlstate ? worked->sqlstate : "";
    if (!state[0])
        return worked->failed_statement >= 0 ? CLASS_EXPECTATION : CLASS_CONNECTION;
    for (int i = 0; i < CLASS_OTHER; i++) {
        if (strncmp(state, classes[i], 2) == 0)
            return i;
    }
    return CLASS_OTHER;
}

static enum metric_work kind_of(const struct work *work, bool step)
{
    if (step)
        return METRIC_STEP;
    switch (work->request.mode) {
    case DB_PREPARE:
        return METRIC_PREPARE;
    case DB_ONE_PHASE:
        return METRIC_ONE_PHASE;
    case DB_STEP:
        return METRIC_CALL;
    case DB_ROLLBACK:
        return METRIC_ROLLBACK;
    case DB_READ_ONLY:
        break;
    }
    return METRIC_READ_ONLY;
}

void measure_work(struct agent *agent, const struct work *work, bool step,
                  const struct db_worked *worked)
{
    struct agent_metrics *metrics = &agent->metrics;
    enum metric_work kind = kind_of(work, step);
    bool failed = worked->outcome == DB_FAILED || worked->outcome == DB_LOST;
    metrics->worked[kind][worked->outcome]++;
    histogram_add(&metrics->work[kind], agent->host.now_us(agent->host.self) - work->given_us);
    if (failed || worked->failed_statement >= 0)
        metrics->failures[class_of(worked)]++;
}

void measure_finish(struct agent *agent, const struct entry *entry, bool commit,
                    enum db_finish result)
{
    agent->metrics.finished[commit][result]++;
    histogram_add(&agent->metrics.finish[commit],
                  agent->host.now_us(agent->host.self) - entry->finish_us);
}

/* ---- reading ------------------------------------------------------------------------------- */

static void read_process(const struct agent *agent, struct metrics_sink *sink)
{
    metrics_process(sink, "participant", agent->cluster, agent->participant, agent->started_us);
    metrics_gauge(sink, "troth_ready", "1: it takes new work.", agent_unready(agent) == NULL);
    metrics_gauge(sink, "troth_draining", "1: it is being stopped.", agent->draining);
}

static void read_work(const struct agent *agent, struct metrics_sink *sink)
{
    static const char *const kinds[METRIC_WORKS] = {"prepare", "one_phase", "read_only",
                                                    "step",    "call",      "rollback"};
    static const char *const outcomes[] = {[DB_PREPARED] = "prepared",
                                           [DB_COMMITTED] = "committed",
                                           [DB_FAILED] = "failed",
                                           [DB_OPENED] = "opened",
                                           [DB_LOST] = "lost"};
    const struct agent_metrics *metrics = &agent->metrics;
    char labels[64];
    metrics_family(sink, "troth_work_seconds", METRIC_HISTOGRAM,
                   "Work in the database, from its beginning to its end there, by kind.");
    for (int i = 0; i < METRIC_WORKS; i++) {
        snprintf(labels, sizeof(labels), "kind=\"%s\"", kinds[i]);
        metrics_histogram(sink, "troth_work_seconds", labels, &metrics->work[i]);
    }
    metrics_family(sink, "troth_work_total", METRIC_COUNTER,
                   "Work that the database has answered, by kind and outcome.");
    for (int i = 0; i < METRIC_WORKS; i++) {
        for (int j = DB_PREPARED; j <= DB_LOST; j++) {
            snprintf(labels, sizeof(labels), "kind=\"%s\",outcome=\"%s\"", kinds[i], outcomes[j]);
            metrics_sample(sink, "troth_work_total", labels, (double)metrics->worked[i][j]);
        }
    }
    metrics_family(sink, "troth_work_failures_total", METRIC_COUNTER,
                   "Work that failed, by SQLSTATE class, or an operation's expectation.");
    for (int i = 0; i < METRIC_CLASSES; i++)
        metrics_labelled(sink, "troth_work_failures_total", "class", classes[i],
                         (double)metrics->failures[i]);
}

static void read_adoptions(const struct agent *agent, struct metrics_sink *sink)
{
    static const char name[] = "troth_adopted_total";
    static const char *const results[] = {[DB_ADOPTED] = "done",
                                          [DB_ADOPT_MISSING] = "missing",
                                          [DB_ADOPT_FOREIGN] = "foreign",
                                          [DB_ADOPT_FENCED] = "fenced",
                                          [DB_ADOPT_ERROR] = "failed"};
    metrics_family(sink, name, METRIC_COUNTER,
                   "Branches that a client had prepared and handed over, by what was found.");
    for (int i = DB_ADOPTED; i <= DB_ADOPT_ERROR; i++)
        metrics_labelled(sink, name, "result", results[i], (double)agent->metrics.adopted[i]);
}

static void read_finishes(const struct agent *agent, struct metrics_sink *sink)
{
    static const char *const actions[] = {"rollback", "commit"};
    static const char *const results[] = {
        [DB_FINISHED] = "done", [DB_MISSING] = "missing", [DB_UNFINISHED] = "failed"};
    const struct agent_metrics *metrics = &agent->metrics;
    char labels[64];
    metrics_family(sink, "troth_finish_seconds", METRIC_HISTOGRAM,
                   "COMMIT PREPARED and ROLLBACK PREPARED in the database.");
    for (int i = 0; i < 2; i++) {
        snprintf(labels, sizeof(labels), "action=\"%s\"", actions[i]);
        metrics_histogram(sink, "troth_finish_seconds", labels, &metrics->finish[i]);
    }
    metrics_family(sink, "troth_finish_total", METRIC_COUNTER,
                   "Likewise, by result; missing: the branch was gone, and is proved otherwise.");
    for (int i = 0; i < 2; i++) {
        for (int j = DB_FINISHED; j <= DB_UNFINISHED; j++) {
            snprintf(labels, sizeof(labels), "action=\"%s\",result=\"%s\"", actions[i], results[j]);
            metrics_sample(sink, "troth_finish_total", labels, (double)metrics->finished[i][j]);
        }
    }
    metrics_counter(sink, "troth_hazards_total",
                    "Branches found, in this run, not to hold what was decided.",
                    (double)metrics->hazards);
}

static void read_database(const struct agent *agent, struct metrics_sink *sink)
{
    int64_t now_us = agent->host.wall_us(agent->host.self);
    int64_t age_us = agent->facts.oldest_us ? now_us - agent->facts.oldest_us : 0;
    metrics_gauge(sink, "troth_database_up", "1: the database can be used.", agent->database_up);
    metrics_gauge(sink, "troth_connections", "Work that may run at once in the database.",
                  agent->connections);
    metrics_gauge(sink, "troth_connections_busy", "Work that runs, or holds its transaction open.",
                  agent->working);
    metrics_gauge(sink, "troth_connections_open",
                  "Of these, those of transactions that are built step by step.", agent->open);
    metrics_family(sink, "troth_prepared", METRIC_GAUGE,
                   "Prepared transactions in the database, as the last scan found them.");
    metrics_labelled(sink, "troth_prepared", "of", "cluster", agent->facts.prepared);
    metrics_labelled(sink, "troth_prepared", "of", "others", agent->facts.foreign);
    metrics_gauge(sink, "troth_prepared_slots", "max_prepared_transactions of the server.",
                  agent->facts.slots);
    metrics_gauge(sink, "troth_prepared_oldest_seconds",
                  "Age of the oldest one of this cluster; 0: there is none.",
                  age_us > 0 ? (double)age_us / 1e6 : 0);
    metrics_counter(sink, "troth_scans_total", "Scans for prepared transactions.",
                    (double)agent->scans);
}

static void read_branches(const struct agent *agent, struct metrics_sink *sink)
{
    static const char name[] = "troth_branches";
    static const char *const words[] = {
        [BRANCH_QUEUED] = "queued",       [BRANCH_WORKING] = "working",
        [BRANCH_OPEN] = "open",           [BRANCH_CLOSING] = "closing",
        [BRANCH_ADOPTING] = "adopting",   [BRANCH_IN_DOUBT] = "in_doubt",
        [BRANCH_ACCEPTING] = "accepting", [BRANCH_COMMITTING] = "committing",
        [BRANCH_ABORTING] = "aborting",   [BRANCH_PROVING] = "proving",
        [BRANCH_UNSURE] = "unsure",       [BRANCH_LOOKING] = "looking"};
    uint64_t counts[BRANCH_ENDED + 1] = {0}, held = 0, tasks_queued = 0;
    struct metric_ages ages = {0};
    int64_t now_us = agent->host.wall_us(agent->host.self);
    for (const struct list *at = agent->entries.next; at != &agent->entries; at = at->next) {
        const struct entry *entry = CONTAINER(at, struct entry, all);
        counts[entry->branch.state]++;
        if (entry->branch.state != BRANCH_IN_DOUBT)
            continue;
        held += branch_is_held(agent, entry);
        metric_ages_add(&ages, now_us - entry->doubt_us);
    }
    metrics_family(sink, name, METRIC_GAUGE, "Branches that are not over here, by state.");
    for (int i = BRANCH_QUEUED; i < BRANCH_ENDED; i++)
        metrics_labelled(sink, name, "state", words[i], (double)counts[i]);
    metrics_ages(sink, "troth_branches_in_doubt",
                 "Branches that are prepared and not decided, as far as is known here, by age.",
                 &ages);
    metrics_gauge(sink, "troth_held", "Of these, those held for an operator.", (double)held);
    metrics_gauge(sink, "troth_terminating", "Transactions that end here without a coordinator.",
                  agent->terminating);
    metrics_gauge(sink, "troth_minority", "Of these, those that lack a majority.", agent->minority);
    for (const struct list *at = agent->task_queue.next; at != &agent->task_queue; at = at->next)
        tasks_queued++;
    metrics_gauge(sink, "troth_tasks", "Steps of sagas that are asked for and not answered.",
                  (double)agent->by_key.count);
    metrics_family(sink, "troth_queue", METRIC_GAUGE, "What waits for a connection.");
    metrics_labelled(sink, "troth_queue", "kind", "branch", (double)counts[BRANCH_QUEUED]);
    metrics_labelled(sink, "troth_queue", "kind", "step", (double)tasks_queued);
}

static void add_counters(struct transport_counters *sum, const struct transport *transport)
{
    const struct transport_counters *counters = transport_counters(transport);
    sum->frames_sent += counters->frames_sent;
    sum->frames_received += counters->frames_received;
    sum->frames_resent += counters->frames_resent;
    sum->frames_dropped += counters->frames_dropped;
    sum->messages_sent += counters->messages_sent;
    sum->messages_received += counters->messages_received;
    sum->bytes_sent += counters->bytes_sent;
    sum->bytes_received += counters->bytes_received;
    sum->sessions += counters->sessions;
}

/* Lines to other participants come and go: a sum over them would fall. */
static void read_transport(const struct agent *agent, struct metrics_sink *sink)
{
    struct transport_counters sum = {0};
    int connected = 0;
    for (int i = 0; i < agent->link_count; i++) {
        connected += agent->links[i].peer != NULL;
        add_counters(&sum, agent->links[i].transport);
    }
    if (agent->door)
        add_counters(&sum, agent->door);
    metrics_gauge(sink, "troth_coordinators", "Coordinators that are configured.",
                  agent->link_count);
    metrics_gauge(sink, "troth_coordinators_connected", "Of these, those with a session.",
                  connected);
    metrics_transport(sink, &sum);
}

void agent_metrics(const struct agent *agent, struct metrics_sink *sink)
{
    read_process(agent, sink);
    read_work(agent, sink);
    read_adoptions(agent, sink);
    read_finishes(agent, sink);
    read_database(agent, sink);
    read_branches(agent, sink);
    read_transport(agent, sink);
}
