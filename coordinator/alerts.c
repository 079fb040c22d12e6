#include "coordinator/alerts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"

enum {
    LOOK_US = 5 * 1000 * 1000,
    MAJORITY_US = 10 * 1000 * 1000, /* so long a proposal may be without a majority */
    TEXT_BYTES = 400,
};

struct raised {
    struct map_node node;
    struct list all;
    uint64_t look; /* when it was seen last; 0: it is told when it is over */
    char kind[16];
    char subject[]; /* a gtrid, gid or saga's id */
};

void alerts_init(struct server *server)
{
    list_init(&server->alerts.all);
}

static void drop(struct alerts *alerts, struct raised *raised)
{
    list_remove(&raised->all);
    map_remove(&alerts->map, &raised->node);
    free(raised);
}

void alerts_fini(struct server *server)
{
    struct alerts *alerts = &server->alerts;
    while (!list_empty(&alerts->all))
        drop(alerts, CONTAINER(alerts->all.next, struct raised, all));
    map_fini(&alerts->map);
}

static bool match(const struct map_node *node, const void *key)
{
    const struct raised *raised = CONTAINER(node, struct raised, node);
    const struct alert *alert = key;
    return strcmp(raised->kind, alert->kind) == 0 && strcmp(raised->subject, alert->subject) == 0;
}

static uint64_t hash(const struct alert *alert)
{
    return hash_bytes(alert->subject, strlen(alert->subject)) ^
           hash_bytes(alert->kind, strlen(alert->kind));
}

static struct raised *find(const struct alerts *alerts, const struct alert *alert)
{
    struct map_node *node = map_find(&alerts->map, hash(alert), match, alert);
    return node ? CONTAINER(node, struct raised, node) : NULL;
}

/* It is parked; told when it is new. */
static void park(struct server *server, const struct alert *alert, uint64_t look)
{
    struct alerts *alerts = &server->alerts;
    struct raised *raised = find(alerts, alert);
    if (raised) {
        raised->look = look;
        return;
    }
    if (alerts->map.count >= LIMIT_ALERTS) {
        if (!alerts->full)
            host_log(&server->host, LOG_ERROR,
                     "more than %d things are parked for an operator: "
                     "the alert hook is not told of the others",
                     LIMIT_ALERTS);
        alerts->full = true;
        return;
    }
    size_t size = strlen(alert->subject) + 1;
    raised = xcalloc(1, sizeof(*raised) + size);
    raised->look = look;
    snprintf(raised->kind, sizeof(raised->kind), "%s", alert->kind);
    memcpy(raised->subject, alert->subject, size);
    map_insert(&alerts->map, &raised->node, hash(alert));
    list_append(&alerts->all, &raised->all);
    server->config.alerts->raise(server->config.alerts->self, alert);
}

/* ---- what is parked now ---- */

static void look_at_hazard(struct server *server, const struct tx *tx)
{
    gtrid_text gtrid;
    char text[TEXT_BYTES], command[sizeof(gtrid) + 32];
    const struct problem *problem = tx->problem;
    gtrid_format(gtrid, server->cluster, server->coordinator, tx->id);
    snprintf(text, sizeof(text),
             "transaction %s: the database of %s can't prove what was decided%s%s", gtrid,
             problem && problem->participant ? problem->participant->name : "a participant",
             problem && problem->detail[0] ? ": " : "", problem ? problem->detail : "");
    snprintf(command, sizeof(command), "troth tx explain %s", gtrid);
    park(server, &(struct alert){"hazard", gtrid, text, command}, server->alerts.look);
}

static void look_at_proposal(struct server *server, const struct tx *tx)
{
    uint64_t now_us = server->host.now_us(server->host.self);
    gtrid_text gtrid;
    char text[TEXT_BYTES], command[sizeof(gtrid) + 32];
    if (now_us - tx->proposed_since_us <= MAJORITY_US)
        return;
    gtrid_format(gtrid, server->cluster, server->coordinator, tx->id);
    snprintf(text, sizeof(text),
             "transaction %s is pre-committed and waits for a majority of its sites", gtrid);
    snprintf(command, sizeof(command), "troth tx explain %s", gtrid);
    park(server, &(struct alert){"majority", gtrid, text, command}, server->alerts.look);
}

/* None of these is new: the walk ends when all were seen. A hazard at one branch may wait for
 * another that is not applied, or rest. */
static void look_at_transactions(struct server *server)
{
    size_t left = server->proposed + server->hazards + server->unapplied;
    for (struct list *at = server->all.next; left > 0 && at != &server->all; at = at->next) {
        const struct tx *tx = CONTAINER(at, struct tx, all);
        if (tx->machine.in[BRANCH_HAZARD] > 0)
            look_at_hazard(server, tx);
        else if (tx->machine.state == TRANSACTION_PROPOSED)
            look_at_proposal(server, tx);
        left -= tx->counted_proposed || tx->counted_hazard || tx->counted_unapplied;
    }
}

static void look_at_heuristics(struct server *server)
{
    const struct list *head = &server->heuristics.all;
    for (struct list *at = head->next; at != head; at = at->next) {
        const struct heuristic *heuristic = CONTAINER(at, struct heuristic, all);
        char text[TEXT_BYTES], command[sizeof(gtrid_text) + 32];
        if (strcmp(heuristic_outcome(server, heuristic), "mixed") != 0)
            continue;
        snprintf(text, sizeof(text),
                 "transaction %s: what an operator forced differs from what else is known",
                 heuristic->gtrid);
        snprintf(command, sizeof(command), "troth tx explain %s", heuristic->gtrid);
        park(server, &(struct alert){"mixed", heuristic->gtrid, text, command},
             server->alerts.look);
    }
}

static void look_at_held(struct server *server)
{
    const struct list *head = &server->participants.all;
    for (struct list *at = head->next; at != head; at = at->next) {
        const struct participant *participant = CONTAINER(at, struct participant, all);
        for (size_t i = 0; i < participant->report.held_count; i++) {
            const char *gid = participant->report.held[i];
            char text[TEXT_BYTES], command[LIMIT_GID_BYTES + 32];
            struct gid id;
            if (!gid_parse(gid, &id))
                continue; /* no branch of ours is called so */
            snprintf(text, sizeof(text),
                     "%s at participant %s is prepared, and nobody can judge it", gid,
                     participant->name);
            snprintf(command, sizeof(command), "troth tx explain %s", gid);
            park(server, &(struct alert){"held", gid, text, command}, server->alerts.look);
        }
    }
}

static void forget_what_is_over(struct alerts *alerts)
{
    for (struct list *at = alerts->all.next, *next; at != &alerts->all; at = next) {
        struct raised *raised = CONTAINER(at, struct raised, all);
        next = at->next;
        if (raised->look != 0 && raised->look != alerts->look)
            drop(alerts, raised);
    }
    alerts->full = alerts->full && alerts->map.count >= LIMIT_ALERTS;
}

uint64_t alerts_settle(struct server *server)
{
    struct alerts *alerts = &server->alerts;
    uint64_t now_us = server->host.now_us(server->host.self);
    if (!server->config.alerts || !server->ready)
        return UINT64_MAX;
    if (now_us < alerts->due_us)
        return alerts->due_us;
    alerts->look++;
    look_at_transactions(server);
    look_at_heuristics(server);
    look_at_held(server);
    forget_what_is_over(alerts);
    alerts->due_us = now_us + LOOK_US;
    return alerts->due_us;
}

void alerts_saga(struct server *server, const struct saga_run *run, bool needed)
{
    const struct saga_problem *problem = saga_problem(run->machine);
    gtrid_text id;
    char text[TEXT_BYTES], command[sizeof(id) + 32];
    if (!server->config.alerts)
        return;
    gtrid_format(id, server->cluster, server->coordinator, run->id);
    struct alert alert = {"saga", id, text, command};
    struct raised *raised = find(&server->alerts, &alert);
    if (!needed) {
        if (raised)
            drop(&server->alerts, raised);
        return;
    }
    snprintf(text, sizeof(text), "saga %s (%s) needs an operator: %s", id,
             run->definition->plan->name,
             problem && problem->message ? problem->message : "see its steps");
    snprintf(command, sizeof(command), "troth saga show %s", id);
    park(server, &alert, 0);
}
