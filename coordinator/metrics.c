#include "coordinator/metrics.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "coordinator/parts.h"
#include "coordinator/views.h"
#include "core/samples.h"

/* ---- counting ------------------------------------------------------------------------------ */

static enum metric_protocol protocol_of(const struct tx *tx)
{
    return tx->machine.alone ? METRIC_1PC : tx->sites ? METRIC_3PC : METRIC_2PC;
}

static bool is_sqlstate(const char *code)
{
    bool digit = false;
    for (int i = 0; i < 5; i++) {
        if (!isdigit((unsigned char)code[i]) && !isupper((unsigned char)code[i]))
            return false;
        digit = digit || isdigit((unsigned char)code[i]);
    }
    return code[5] == '\0' && digit;
}

static enum metric_reason reason_of_sqlstate(const char *code)
{
    if (strncmp(code, "40", 2) == 0)
        return REASON_CONFLICT;
    if (strncmp(code, "23", 2) == 0)
        return REASON_CONSTRAINT;
    return strcmp(code, "55P03") == 0 ? REASON_LOCK_TIMEOUT : REASON_DATABASE;
}

/* What is none of Troth's own words and no SQLSTATE is the word of an operation's expectation. */
enum metric_reason metric_reason_of(const char *code)
{
    static const struct {
        const char *code;
        enum metric_reason reason;
    } words[] = {
        {"database_down", REASON_DATABASE_DOWN},
        {"deadline", REASON_DEADLINE},
        {"session_lost", REASON_SESSION_LOST},
        {"no_majority", REASON_SESSION_LOST},
        {"not_connected", REASON_NOT_CONNECTED},
        {"no_listen", REASON_NOT_CONNECTED},
        {"busy", REASON_BUSY},
        {"draining", REASON_DRAINING},
        {"overruled", REASON_OVERRULED},
        {"fenced", REASON_FENCED},
        {"operator", REASON_OPERATOR},
        {"aborted", REASON_CLIENT},
        {"not_handed_over", REASON_BAD_REQUEST},
        {"not_prepared", REASON_BAD_REQUEST},
        {"not_ours", REASON_BAD_REQUEST},
        {"not_open", REASON_SESSION_LOST},
        {"bad_request", REASON_BAD_REQUEST},
        {"bad_argument", REASON_BAD_REQUEST},
        {"key_conflict", REASON_BAD_REQUEST},
        {"unknown_operation", REASON_BAD_REQUEST},
        {"unknown_participant", REASON_BAD_REQUEST},
        {"result_too_large", REASON_BAD_REQUEST},
        {"unknown", REASON_UNKNOWN},
        {"", REASON_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strcmp(code, words[i].code) == 0)
            return words[i].reason;
    }
    return is_sqlstate(code) ? reason_of_sqlstate(code) : REASON_REFUSED;
}

/* False: it is not known yet. */
static bool outcome_of(const struct tx *tx, enum metric_outcome *outcome)
{
    switch ((enum transaction_state)tx->machine.state) {
    case TRANSACTION_COMMITTED:
    case TRANSACTION_ABORTED:
    case TRANSACTION_HAZARD:
        *outcome =
            transaction_phase(&tx->machine) == PHASE_COMMITTED ? METRIC_COMMITTED : METRIC_ABORTED;
        return true;
    case TRANSACTION_DONE:
        *outcome = strcmp(tx_state_word(tx), "aborted") == 0 ? METRIC_ABORTED : METRIC_COMMITTED;
        return true;
    default:
        return false;
    }
}

static void count_outcome(struct server *server, struct tx *tx, enum metric_outcome outcome)
{
    struct coordinator_metrics *metrics = &server->metrics;
    enum metric_protocol protocol = protocol_of(tx);
    uint64_t now_us = server->host.now_us(server->host.self);
    metrics->transactions[protocol][outcome]++;
    if (outcome == METRIC_ABORTED)
        metrics->aborts[metric_reason_of(tx->problem ? tx->problem->code : "")]++;
    if (tx->clock.begun_us)
        histogram_add(&metrics->decided[protocol], now_us - tx->clock.begun_us);
    tx->clock.decided_us = now_us;
}

void metrics_moved(struct server *server, struct tx *tx)
{
    enum metric_outcome outcome;
    struct tx_clock *clock = &tx->clock;
    if (clock->counted && tx->machine.state == TRANSACTION_DONE && clock->decided_us &&
        tx->machine.in[BRANCH_HAZARD] == 0 && tx->machine.committed) {
        uint64_t now_us = server->host.now_us(server->host.self);
        histogram_add(&server->metrics.applied[protocol_of(tx)], now_us - clock->decided_us);
        clock->decided_us = 0;
    }
    if (clock->counted || !outcome_of(tx, &outcome))
        return;
    clock->counted = true;
    /* What the journal says was decided in another run, or counted before it was a hazard. */
    if (!server->replaying && !tx->hazard_only)
        count_outcome(server, tx, outcome);
}

void metrics_voted(struct server *server, const struct tx *tx, int branch)
{
    enum branch_state state = tx->machine.branches[branch].state;
    uint64_t now_us = server->host.now_us(server->host.self);
    if (tx->clock.begun_us && (state == BRANCH_ASKED || state == BRANCH_RUNNING))
        metric_sum_add(&tx->branches[branch].participant->votes, now_us - tx->clock.begun_us);
}

void metrics_finished(struct server *server, const struct tx *tx, int branch,
                      enum branch_state before, uint64_t decided_us)
{
    uint64_t now_us = server->host.now_us(server->host.self);
    struct metric_sum *applies = &tx->branches[branch].participant->applies;
    if (before == BRANCH_YES) /* it has committed with the decision */
        metric_sum_add(applies, 0);
    else if (before == BRANCH_COMMITTING && decided_us)
        metric_sum_add(applies, now_us - decided_us);
}

/* ---- reading ------------------------------------------------------------------------------- */

static const char *const protocol_words[METRIC_PROTOCOLS] = {"1pc", "2pc", "3pc"};

static const char *const reason_words[METRIC_REASONS] = {
    [REASON_REFUSED] = "refused",
    [REASON_CONFLICT] = "conflict",
    [REASON_LOCK_TIMEOUT] = "lock_timeout",
    [REASON_CONSTRAINT] = "constraint",
    [REASON_DATABASE] = "database",
    [REASON_DATABASE_DOWN] = "database_down",
    [REASON_DEADLINE] = "deadline",
    [REASON_SESSION_LOST] = "session_lost",
    [REASON_NOT_CONNECTED] = "not_connected",
    [REASON_BUSY] = "busy",
    [REASON_DRAINING] = "draining",
    [REASON_OVERRULED] = "overruled",
    [REASON_FENCED] = "fenced",
    [REASON_OPERATOR] = "operator",
    [REASON_CLIENT] = "client",
    [REASON_BAD_REQUEST] = "bad_request",
    [REASON_UNKNOWN] = "unknown",
};

static void read_process(const struct server *server, struct metrics_sink *sink)
{
    metrics_process(sink, "coordinator", server->cluster, server->coordinator, server->started_us);
    metrics_gauge(sink, "troth_epoch", "Number of this run in the journal.",
                  (double)server->recovery.epoch);
    metrics_gauge(sink, "troth_ready", "1: it takes new transactions.",
                  server->ready && !server->draining);
    metrics_gauge(sink, "troth_draining", "1: it is being stopped.", server->draining);
    metrics_family(sink, "troth_loop_turn_seconds", METRIC_HISTOGRAM,
                   "From what the event loop was woken for to the end of that turn.");
    metrics_histogram(sink, "troth_loop_turn_seconds", "", &server->facts.turns);
}

static void read_totals(const struct server *server, struct metrics_sink *sink)
{
    static const char *const outcomes[] = {"committed", "aborted"};
    const struct coordinator_metrics *metrics = &server->metrics;
    char labels[64];
    metrics_family(sink, "troth_transactions_total", METRIC_COUNTER,
                   "Transactions decided in this run, by protocol and outcome.");
    for (int i = 0; i < METRIC_PROTOCOLS; i++) {
        for (int j = 0; j < METRIC_OUTCOMES; j++) {
            snprintf(labels, sizeof(labels), "protocol=\"%s\",outcome=\"%s\"", protocol_words[i],
                     outcomes[j]);
            metrics_sample(sink, "troth_transactions_total", labels,
                           (double)metrics->transactions[i][j]);
        }
    }
    metrics_family(sink, "troth_aborts_total", METRIC_COUNTER,
                   "Transactions aborted in this run, by the first reason.");
    for (int i = 0; i < METRIC_REASONS; i++)
        metrics_labelled(sink, "troth_aborts_total", "reason", reason_words[i],
                         (double)metrics->aborts[i]);
    metrics_family(sink, "troth_rejections_total", METRIC_COUNTER,
                   "Transactions of clients that were not begun, by reason.");
    for (int i = 0; i < METRIC_REASONS; i++)
        metrics_labelled(sink, "troth_rejections_total", "reason", reason_words[i],
                         (double)metrics->rejections[i]);
    metrics_counter(sink, "troth_hazards_total",
                    "Branches found, in this run, not to hold what was decided.",
                    (double)metrics->hazards);
}

static void read_latencies(const struct server *server, struct metrics_sink *sink)
{
    char labels[64];
    metrics_family(
        sink, "troth_transaction_seconds", METRIC_HISTOGRAM,
        "From the beginning of a transaction, or the End of an open one, to its decision.");
    for (int i = 0; i < METRIC_PROTOCOLS; i++) {
        snprintf(labels, sizeof(labels), "protocol=\"%s\"", protocol_words[i]);
        metrics_histogram(sink, "troth_transaction_seconds", labels, &server->metrics.decided[i]);
    }
    metrics_family(sink, "troth_applied_seconds", METRIC_HISTOGRAM,
                   "From the decision to commit to its last acknowledgement.");
    for (int i = METRIC_2PC; i < METRIC_PROTOCOLS; i++) { /* one phase has no second */
        snprintf(labels, sizeof(labels), "protocol=\"%s\"", protocol_words[i]);
        metrics_histogram(sink, "troth_applied_seconds", labels, &server->metrics.applied[i]);
    }
}

static void read_in_flight(const struct server *server, struct metrics_sink *sink)
{
    struct metric_ages ages = {0};
    int64_t wall_us = server->host.wall_us(server->host.self);
    static const char name[] = "troth_transactions_in_flight";
    metrics_family(sink, name, METRIC_GAUGE,
                   "Transactions that are not over, by what they wait for.");
    metrics_labelled(sink, name, "state", "open", (double)server->opens.map.count);
    metrics_labelled(sink, name, "state", "undecided", (double)server->undecided);
    metrics_labelled(sink, name, "state", "proposed", (double)server->proposed);
    metrics_labelled(sink, name, "state", "lost", (double)server->lost);
    metrics_labelled(sink, name, "state", "unapplied", (double)server->unapplied);
    for (const struct list *at = server->all.next; at != &server->all; at = at->next) {
        const struct tx *tx = CONTAINER(at, struct tx, all);
        if (view_in_doubt(tx))
            metric_ages_add(&ages, wall_us - tx->begun_us);
    }
    const struct list *opens = &server->opens.all;
    for (const struct list *at = opens->next; at != opens; at = at->next) {
        const struct open *open = CONTAINER(at, struct open, all);
        if (open_in_doubt(open))
            metric_ages_add(&ages, wall_us - open->begun_us);
    }
    metrics_ages(sink, "troth_transactions_in_doubt",
                 "Transactions with a branch that is prepared, or not proved, by their age.",
                 &ages);
    metrics_gauge(sink, "troth_hazards",
                  "Transactions listed with a branch that does not hold what was decided.",
                  (double)server->hazards);
    metrics_gauge(sink, "troth_heuristics",
                  "Transactions with an outcome that an operator forced, not forgotten.",
                  (double)server->heuristics.count);
    metrics_gauge(sink, "troth_mixed", "Of these, those against another outcome that is known.",
                  (double)heuristics_mixed(server));
    metrics_gauge(sink, "troth_waiters", "Requests of clients that wait for an outcome.",
                  (double)server->waiting);
    metrics_gauge(sink, "troth_keys", "Idempotency keys that are remembered.",
                  (double)(server->keys.map.count - server->keys.step_count));
}

static void read_journal(const struct server *server, struct metrics_sink *sink)
{
    const struct server_host_facts *facts = &server->facts;
    const struct journal_counters *journal = &facts->journal;
    metrics_counter(sink, "troth_journal_records_total", "Records made durable in this run.",
                    (double)journal->records);
    metrics_counter(sink, "troth_journal_batches_total",
                    "Batches written, each with one flush for all its records.",
                    (double)journal->batches);
    metrics_counter(sink, "troth_journal_written_bytes_total", "Bytes written, with frames.",
                    (double)journal->bytes);
    metrics_counter(sink, "troth_journal_checkpoints_total",
                    "Checkpoints that replaced the journal before them.",
                    (double)journal->checkpoints);
    metrics_family(sink, "troth_journal_flush_seconds", METRIC_HISTOGRAM,
                   "What the disk takes to make one batch durable.");
    metrics_histogram(sink, "troth_journal_flush_seconds", "", &journal->flush);
    metrics_gauge(sink, "troth_journal_pending_records",
                  "Records that wait for the disk; it is stuck when they only grow.",
                  (double)journal->pending);
    metrics_gauge(sink, "troth_journal_bytes", "Size of its files.", (double)facts->journal_bytes);
    metrics_gauge(sink, "troth_journal_segments", "Number of its files.",
                  (double)facts->journal_segments);
    metrics_gauge(sink, "troth_journal_free_bytes", "Free on its file system.",
                  (double)facts->journal_free_bytes);
    metrics_gauge(sink, "troth_low_water_epoch",
                  "Below this epoch the journal does not remember every decision.",
                  (double)server->recovery.low_water.epoch);
    metrics_gauge(sink, "troth_low_water_sequence", "Likewise, the number in that epoch.",
                  (double)server->recovery.low_water.seq);
}

static void read_transport(const struct server *server, struct metrics_sink *sink)
{
    const struct transport_counters *counters = transport_counters(server->transport);
    uint64_t participants = 0, others = 0;
    for (struct peer *peer = NULL; (peer = transport_next_peer(server->transport, peer)) != NULL;) {
        if (peer_role(peer) == WIRE__ROLE__PARTICIPANT)
            participants++;
        else
            others++;
    }
    metrics_family(sink, "troth_sessions", METRIC_GAUGE, "Sessions now, by who is there.");
    metrics_labelled(sink, "troth_sessions", "role", "participant", (double)participants);
    metrics_labelled(sink, "troth_sessions", "role", "client", (double)others);
    metrics_transport(sink, counters);
}

static void read_sagas(const struct server *server, struct metrics_sink *sink)
{
    static const char *const hows[] = {
        [SAGA_DO] = "do", [SAGA_CANCEL] = "cancel", [SAGA_COMPENSATE] = "compensate"};
    static const char *const outcomes[] = {[SAGA_SUCCEEDED] = "succeeded",
                                           [SAGA_REFUSED] = "refused",
                                           [SAGA_NOT_DONE] = "not_done",
                                           [SAGA_UNSURE] = "unsure",
                                           [SAGA_UNPROVABLE] = "unprovable"};
    const struct sagas *sagas = &server->sagas;
    char labels[64];
    metrics_family(sink, "troth_sagas", METRIC_GAUGE, "Sagas that are not over, by state.");
    metrics_labelled(sink, "troth_sagas", "state", "running", (double)sagas->running);
    metrics_labelled(sink, "troth_sagas", "state", "compensating", (double)sagas->compensating);
    metrics_gauge(sink, "troth_sagas_needing_operator", "Sagas that wait for an operator.",
                  (double)sagas->need_operator);
    metrics_counter(sink, "troth_sagas_started_total", "Sagas begun in this run.",
                    (double)server->metrics.sagas_started);
    metrics_family(sink, "troth_sagas_ended_total", METRIC_COUNTER,
                   "Sagas ended in this run, by outcome.");
    metrics_labelled(sink, "troth_sagas_ended_total", "outcome", "completed",
                     (double)sagas->completed);
    metrics_labelled(sink, "troth_sagas_ended_total", "outcome", "compensated",
                     (double)sagas->compensated);
    metrics_family(sink, "troth_saga_steps_total", METRIC_COUNTER,
                   "Tries of steps answered, by what was tried and how it went.");
    for (int how = SAGA_DO; how <= SAGA_COMPENSATE; how++) {
        for (int outcome = SAGA_SUCCEEDED; outcome <= SAGA_UNPROVABLE; outcome++) {
            snprintf(labels, sizeof(labels), "how=\"%s\",outcome=\"%s\"", hows[how],
                     outcomes[outcome]);
            metrics_sample(sink, "troth_saga_steps_total", labels,
                           (double)server->metrics.steps[how][outcome]);
        }
    }
    metrics_family(sink, "troth_saga_step_seconds", METRIC_HISTOGRAM,
                   "From a try of a step to its answer.");
    metrics_histogram(sink, "troth_saga_step_seconds", "", &server->metrics.step);
}

/* ---- one participant each ------------------------------------------------------------------ */

static double connected(const struct server *server, const struct participant *participant)
{
    (void)server;
    return participant->peer != NULL;
}

static double database_up(const struct server *server, const struct participant *participant)
{
    (void)server;
    return participant->peer && participant->report.database_up;
}

static double prepared(const struct server *server, const struct participant *participant)
{
    (void)server;
    return participant->report.prepared;
}

static double foreign(const struct server *server, const struct participant *participant)
{
    (void)server;
    return participant->report.prepared_foreign;
}

static double slots(const struct server *server, const struct participant *participant)
{
    (void)server;
    return participant->report.prepared_slots;
}

static double oldest(const struct server *server, const struct participant *participant)
{
    int64_t oldest_us = participant->report.oldest_prepared_us;
    int64_t age_us = oldest_us ? server->host.wall_us(server->host.self) - oldest_us : 0;
    return age_us > 0 ? (double)age_us / 1e6 : 0;
}

static double held(const struct server *server, const struct participant *participant)
{
    (void)server;
    return (double)participant->report.held_count;
}

static double working(const struct server *server, const struct participant *participant)
{
    (void)server;
    return (double)participant->working;
}

static double unapplied(const struct server *server, const struct participant *participant)
{
    (void)server;
    return (double)participant->unapplied;
}

static double executing(const struct server *server, const struct participant *participant)
{
    (void)server;
    return (double)participant->tries;
}

static double terminating(const struct server *server, const struct participant *participant)
{
    (void)server;
    return participant->report.terminating;
}

static double minority(const struct server *server, const struct participant *participant)
{
    (void)server;
    return participant->report.minority;
}

static void read_participants(const struct server *server, struct metrics_sink *sink)
{
    static const struct {
        const char *name, *help;
        double (*value)(const struct server *server, const struct participant *participant);
    } gauges[] = {
        {"troth_participant_connected", "1: it has a session.", connected},
        {"troth_participant_database_up", "1: and can use its database.", database_up},
        {"troth_participant_prepared", "Prepared transactions of this cluster there.", prepared},
        {"troth_participant_prepared_foreign", "Prepared transactions of others there.", foreign},
        {"troth_participant_prepared_slots", "Its max_prepared_transactions.", slots},
        {"troth_participant_prepared_oldest_seconds", "Age of the oldest one there.", oldest},
        {"troth_participant_held", "Branches held there for an operator.", held},
        {"troth_participant_working", "Branches there that are undecided.", working},
        {"troth_participant_unapplied", "Branches decided and not acknowledged.", unapplied},
        {"troth_participant_executing", "Tries of sagas' steps sent there or queued.", executing},
        {"troth_participant_terminating", "Transactions it ends without a coordinator.",
         terminating},
        {"troth_participant_minority", "Of these, those that lack a majority.", minority},
    };
    const struct list *all = &server->participants.all;
    for (size_t i = 0; i < sizeof(gauges) / sizeof(*gauges); i++) {
        metrics_family(sink, gauges[i].name, METRIC_GAUGE, gauges[i].help);
        for (const struct list *at = all->next; at != all; at = at->next) {
            const struct participant *participant = CONTAINER(at, struct participant, all);
            if (participant->never_seen)
                continue; /* a saga has named it, perhaps by mistake */
            metrics_labelled(sink, gauges[i].name, "participant", participant->name,
                             gauges[i].value(server, participant));
        }
    }
}

static void read_answer_times(const struct server *server, struct metrics_sink *sink)
{
    const struct list *all = &server->participants.all;
    for (int apply = 0; apply < 2; apply++) {
        const char *name =
            apply ? "troth_participant_apply_seconds" : "troth_participant_vote_seconds";
        metrics_family(
            sink, name, METRIC_SUMMARY,
            apply ? "From the decision to commit to its acknowledgement; 0 for a branch"
                    " that committed with the acceptance that decided it."
                  : "From the beginning of a transaction, or the End of an open one, to its vote.");
        for (const struct list *at = all->next; at != all; at = at->next) {
            const struct participant *participant = CONTAINER(at, struct participant, all);
            char labels[128];
            if (participant->never_seen)
                continue;
            snprintf(labels, sizeof(labels), "participant=\"%s\"", participant->name);
            metrics_sum(sink, name, labels, apply ? &participant->applies : &participant->votes);
        }
    }
}

void server_metrics(const struct server *server, struct metrics_sink *sink)
{
    read_process(server, sink);
    read_totals(server, sink);
    read_latencies(server, sink);
    read_in_flight(server, sink);
    read_sagas(server, sink);
    read_journal(server, sink);
    read_transport(server, sink);
    read_participants(server, sink);
    read_answer_times(server, sink);
}

/* ---- as samples ---------------------------------------------------------------------------- */

static void *take(void *self, size_t size)
{
    return draft_take(self, size);
}

static bool fits(void *self, size_t packed)
{
    return draft_fits(self, packed);
}

static void read_all(void *of, struct metrics_sink *sink)
{
    server_metrics(of, sink);
}

void metrics_view(struct draft *draft)
{
    struct samples_room room = {draft, take, fits};
    samples_answer(&draft->answer, &room, read_all, draft->server);
}
