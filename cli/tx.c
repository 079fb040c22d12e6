#include "cli/tx.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/sites.h"
#include "core/check.h"

/* ---- words -------------------------------------------------------------------------------- */

bool tx_is_retained(const Wire__TransactionView *tx)
{
    return tx->begun_us == 0 && tx->n_branches == 0 && tx->n_sites == 0 && tx->n_heuristics == 0;
}

const char *tx_protocol(const Wire__TransactionView *tx)
{
    /* Of what is known by its heuristic outcome alone nobody tells. */
    bool told = is_three_phase(tx) || strcmp(tx->state, "heuristic") != 0;
    return !told ? "" : is_three_phase(tx) ? "3pc" : "2pc";
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

int64_t tx_since_us(const Wire__TransactionView *tx)
{
    int64_t since_us = 0;
    if (tx->begun_us)
        return tx->begun_us;
    for (size_t i = 0; i < tx->n_branches; i++)
        since_us = earlier(since_us, tx->branches[i]->voted_us);
    for (size_t i = 0; i < tx->n_heuristics; i++)
        since_us = earlier(since_us, tx->heuristics[i]->at_us);
    return since_us;
}

const char *tx_mark(const Wire__TransactionView *tx)
{
    if (strcmp(tx->heuristic, "mixed") == 0)
        return "mixed";
    /* Nothing contradicts it; whether it is what was decided, nobody can prove. */
    if (*tx->heuristic)
        return "heuristic";
    if (tx->hazard || strcmp(tx->state, "hazard") == 0)
        return "hazard";
    return tx->in_doubt ? "in doubt" : "";
}

char *tx_saga(const Wire__TransactionView *tx)
{
    return *tx->saga_step ? xstrndup(tx->saga_step, strcspn(tx->saga_step, "/")) : NULL;
}

const char *tx_step(const Wire__TransactionView *tx)
{
    const char *slash = strchr(tx->saga_step, '/');
    return slash ? slash + 1 : "";
}

char *heuristic_line(const Wire__Heuristic *heuristic)
{
    const char *by = *heuristic->by ? heuristic->by : "somebody", *found = heuristic->found;
    if (!*heuristic->participant)
        return xasprintf("%s ordered to %s what is in doubt: %s", by,
                         heuristic->commit ? "commit" : "roll back", heuristic->reason);
    return xasprintf("%s: %s by order of %s: %s%s%s", heuristic->participant,
                     *found              ? "was to be ended"
                     : heuristic->commit ? "committed"
                                         : "rolled back",
                     by, heuristic->reason, *found ? "; but its database says " : "", found);
}

/* ---- JSON --------------------------------------------------------------------------------- */

void json_text(struct json_writer *writer, const char *name, const char *text)
{
    json_name(writer, name);
    json_string(writer, text && *text ? text : NULL);
}

void json_texts(struct json_writer *writer, const char *name, char *const *texts, size_t count)
{
    json_name(writer, name);
    json_open(writer, '[');
    for (size_t i = 0; i < count; i++)
        json_string(writer, texts[i]);
    json_close(writer, ']');
}

void json_heuristic(struct json_writer *writer, const Wire__Heuristic *heuristic)
{
    if (!heuristic) {
        json_string(writer, NULL);
        return;
    }
    json_open(writer, '{');
    json_text(writer, "participant", heuristic->participant);
    json_text(writer, "outcome", heuristic->commit ? "commit" : "abort");
    json_text(writer, "reason", heuristic->reason);
    json_text(writer, "by", heuristic->by);
    json_time(writer, "at", heuristic->at_us);
    json_text(writer, "found", heuristic->found);
    json_close(writer, '}');
}

static void json_branch(struct json_writer *writer, const Wire__BranchView *branch)
{
    json_open(writer, '{');
    json_name(writer, "participant");
    json_string(writer, branch->participant);
    json_name(writer, "state");
    json_string(writer, branch->state);
    json_name(writer, "xid");
    if (branch->xid)
        json_unsigned(writer, branch->xid);
    else
        json_string(writer, NULL);
    json_text(writer, "gid", branch->gid);
    json_texts(writer, "operations", branch->operations, branch->n_operations);
    json_time(writer, "voted", branch->voted_us);
    json_time(writer, "ended", branch->ended_us);
    json_text(writer, "waits_for", branch->waits_for);
    json_name(writer, "heuristic");
    json_heuristic(writer, branch->heuristic);
    json_name(writer, "problem");
    json_problem(writer, branch->problem);
    json_close(writer, '}');
}

static void json_saga_step(struct json_writer *writer, const Wire__TransactionView *tx)
{
    char *saga = tx_saga(tx);
    json_name(writer, "saga");
    json_string(writer, saga);
    json_name(writer, "step");
    json_string(writer, saga ? tx_step(tx) : NULL);
    free(saga);
}

static void json_operators(struct json_writer *writer, const Wire__TransactionView *tx)
{
    json_name(writer, "hazard");
    json_boolean(writer, tx->hazard);
    json_text(writer, "heuristic", tx->heuristic);
    json_name(writer, "heuristics");
    json_open(writer, '[');
    for (size_t i = 0; i < tx->n_heuristics; i++)
        json_heuristic(writer, tx->heuristics[i]);
    json_close(writer, ']');
}

void json_transaction(struct json_writer *writer, const Wire__TransactionView *tx)
{
    json_name(writer, "gtrid");
    json_string(writer, tx->gtrid);
    json_name(writer, "state");
    json_string(writer, tx->state);
    json_name(writer, "in_doubt");
    json_boolean(writer, tx->in_doubt);
    bool told = !tx_is_retained(tx) && *tx_protocol(tx);
    json_text(writer, "protocol", told ? tx_protocol(tx) : NULL);
    json_text(writer, "key", tx->key);
    json_saga_step(writer, tx);
    json_time(writer, "begun", tx->begun_us);
    json_text(writer, "decision", tx->decision);
    json_time(writer, "decided", tx->decided_us);
    json_time(writer, "ended", tx->ended_us);
    json_name(writer, "problem");
    json_problem(writer, tx->problem);
    json_operators(writer, tx);
    json_name(writer, "branches");
    json_open(writer, '[');
    for (size_t i = 0; i < tx->n_branches; i++)
        json_branch(writer, tx->branches[i]);
    json_close(writer, ']');
    if (is_three_phase(tx))
        json_three_phase(writer, tx);
    if (is_three_phase(tx) || *tx->waits_for)
        json_text(writer, "waits_for", tx->waits_for);
}

/* ---- words of the command line ------------------------------------------------------------ */

bool tx_gtrid_check(const struct command *command, const char *word)
{
    struct gid id;
    if (gtrid_parse(word, &id))
        return true;
    if (gid_parse(word, &id))
        arguments_refuse(
            command, "\"%.200s\" is the gid of one branch; the GTRID is %s.%s.%" PRIu64 ".%" PRIu64,
            word, id.cluster, id.coordinator, id.tx.epoch, id.tx.seq);
    else
        arguments_refuse(command,
                         "\"%.120s\" is no GTRID: cluster.coordinator.epoch.number, as "
                         "troth tx list shows it",
                         word);
    return false;
}
