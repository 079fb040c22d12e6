#include "coordinator/heuristics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/planted.h"

enum { FOUND_BYTES = 300 };

void server_heuristics_init(struct server *server)
{
    list_init(&server->heuristics.all);
    list_init(&server->heuristics.orders);
}

static void free_part(struct heuristics *heuristics, struct heuristic_part *part)
{
    list_remove(&part->of);
    free(part->reason);
    free(part->by);
    free(part->found);
    free(part);
    heuristics->parts--;
}

static void drop(struct heuristics *heuristics, struct heuristic *heuristic)
{
    while (!list_empty(&heuristic->parts))
        free_part(heuristics, CONTAINER(heuristic->parts.next, struct heuristic_part, of));
    list_remove(&heuristic->all);
    map_remove(&heuristics->map, &heuristic->node);
    heuristics->count--;
    free(heuristic);
}

void server_heuristics_fini(struct server *server)
{
    struct heuristics *heuristics = &server->heuristics;
    tx_orders_fini(server);
    while (!list_empty(&heuristics->all))
        drop(heuristics, CONTAINER(heuristics->all.next, struct heuristic, all));
    map_fini(&heuristics->map);
}

bool heuristics_room(const struct server *server)
{
    return server->heuristics.parts < LIMIT_HEURISTICS;
}

/* ---- the list ---- */

static bool match(const struct map_node *node, const void *gtrid)
{
    return strcmp(CONTAINER(node, struct heuristic, node)->gtrid, gtrid) == 0;
}

struct heuristic *heuristics_find(const struct server *server, const char *gtrid)
{
    struct map_node *node =
        map_find(&server->heuristics.map, hash_bytes(gtrid, strlen(gtrid)), match, gtrid);
    return node ? CONTAINER(node, struct heuristic, node) : NULL;
}

static struct heuristic *find_by_id(const struct server *server, const struct gid *id)
{
    gtrid_text gtrid;
    gtrid_format(gtrid, server->cluster, id->coordinator, id->tx);
    return heuristics_find(server, gtrid);
}

/* Finds or makes. */
static struct heuristic *list(struct server *server, const struct gid *id)
{
    struct heuristic *heuristic = find_by_id(server, id);
    if (heuristic)
        return heuristic;
    heuristic = xcalloc(1, sizeof(*heuristic));
    heuristic->id = *id;
    heuristic->id.branch = -1;
    gtrid_format(heuristic->gtrid, server->cluster, id->coordinator, id->tx);
    list_init(&heuristic->parts);
    list_append(&server->heuristics.all, &heuristic->all);
    map_insert(&server->heuristics.map, &heuristic->node,
               hash_bytes(heuristic->gtrid, strlen(heuristic->gtrid)));
    server->heuristics.count++;
    return heuristic;
}

static struct heuristic_part *find_part(const struct heuristic *heuristic,
                                        const struct participant *participant, uint32_t branch)
{
    for (struct list *at = heuristic->parts.next; at != &heuristic->parts; at = at->next) {
        struct heuristic_part *part = CONTAINER(at, struct heuristic_part, of);
        if (part->participant == participant && part->branch == branch)
            return part;
    }
    return NULL;
}

/* Somebody else's text, cut, but not in the middle of a UTF-8 character. */
static char *cut(const char *text, size_t most)
{
    size_t size = strnlen(text, most);
    while (text[size] && size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    return xstrndup(text, size);
}

/* What a record, an order or a participant says of a part. */
struct telling {
    struct participant *participant;
    uint32_t branch;
    bool commit;
    const char *reason, *by, *found;
    int64_t at_us;
};

static void set_text(char **text, const char *to, size_t most)
{
    free(*text);
    *text = cut(to, most);
}

static void fill(struct heuristic_part *part, const struct telling *telling)
{
    part->commit = telling->commit;
    part->at_us = telling->at_us;
    set_text(&part->reason, telling->reason, LIMIT_REASON_BYTES);
    set_text(&part->by, telling->by, LIMIT_BY_BYTES);
    set_text(&part->found, telling->found, FOUND_BYTES);
}

/* The part that it now is; what was known of it already is replaced. */
static struct heuristic_part *put(struct server *server, struct heuristic *heuristic,
                                  const struct telling *telling)
{
    struct heuristic_part *part = find_part(heuristic, telling->participant, telling->branch);
    if (!part) {
        part = xcalloc(1, sizeof(*part));
        part->participant = telling->participant;
        part->branch = telling->branch;
        list_append(&heuristic->parts, &part->of);
        server->heuristics.parts++;
    }
    fill(part, telling);
    if (!telling->participant) {
        heuristic->ordered = true;
        heuristic->commit = telling->commit;
    }
    return part;
}

/* ---- what it comes to ---- */

/* Of facts: bit 0 abort, bit 1 commit. */
static unsigned fact(bool commit)
{
    return commit ? 2 : 1;
}

/* A branch of it is found to be otherwise than was decided. */
static bool has_hazard(const struct server *server, const struct gid *id)
{
    const struct tx *tx = server_is_ours(server, id) ? server_find(server, id->tx) : NULL;
    return tx && tx->machine.in[BRANCH_HAZARD] > 0;
}

const char *heuristic_outcome(const struct server *server, const struct heuristic *heuristic)
{
    enum decision decision =
        PLANTED(HEURISTIC_NOT_COMPARED) ? DECISION_NONE : server_decision(server, &heuristic->id);
    unsigned facts = decision == DECISION_NONE ? 0 : fact(decision == DECISION_COMMIT);
    unsigned forced = 0;
    for (struct list *at = heuristic->parts.next; at != &heuristic->parts; at = at->next) {
        const struct heuristic_part *part = CONTAINER(at, struct heuristic_part, of);
        if (part->found[0])
            return "mixed";
        if (part->participant)
            forced |= fact(part->commit);
    }
    facts |= forced;
    if (forced && has_hazard(server, &heuristic->id))
        return "mixed";
    if (forced && facts == (fact(true) | fact(false)))
        return "mixed";
    /* An order that nobody has carried out yet says only what will be forced. */
    bool commit = forced ? forced == fact(true) : heuristic->commit;
    return commit ? "commit" : "abort";
}

bool heuristic_unproved(const struct server *server, const struct heuristic *heuristic)
{
    return server_decision(server, &heuristic->id) == DECISION_NONE;
}

size_t heuristics_mixed(const struct server *server)
{
    size_t mixed = 0;
    const struct list *head = &server->heuristics.all;
    for (struct list *at = head->next; at != head; at = at->next) {
        const struct heuristic *heuristic = CONTAINER(at, struct heuristic, all);
        mixed += strcmp(heuristic_outcome(server, heuristic), "mixed") == 0;
    }
    return mixed;
}

void heuristic_view(const struct heuristic *heuristic, const struct heuristic_part *part,
                    Wire__Heuristic *out)
{
    wire__heuristic__init(out);
    out->coordinator = (char *)heuristic->id.coordinator;
    out->epoch = heuristic->id.tx.epoch;
    out->seq = heuristic->id.tx.seq;
    out->branch = part->branch;
    out->participant = part->participant ? part->participant->name : (char *)"";
    out->commit = part->commit;
    out->reason = part->reason;
    out->by = part->by;
    out->at_us = part->at_us;
    out->found = part->found;
}

/* ---- records ---- */

static bool is_own(const struct server *server, const struct gid *id)
{
    return strcmp(id->coordinator, server->coordinator) == 0;
}

static uint64_t append(struct server *server, const struct heuristic *heuristic,
                       const struct heuristic_part *part, bool urgent)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__Heuristic body = JOURNAL__HEURISTIC__INIT;
    if (!is_own(server, &heuristic->id))
        body.coordinator = (char *)heuristic->id.coordinator;
    body.epoch = heuristic->id.tx.epoch;
    body.seq = heuristic->id.tx.seq;
    body.commit = part->commit;
    body.participant = part->participant ? part->participant->name : (char *)"";
    body.branch = part->branch;
    body.reason = part->reason;
    body.by = part->by;
    body.at_us = part->at_us;
    body.found = part->found;
    record.body_case = JOURNAL__RECORD__BODY_HEURISTIC;
    record.heuristic = &body;
    return server_append(server, &record, urgent);
}

void heuristics_checkpoint(struct server *server)
{
    const struct list *head = &server->heuristics.all;
    for (struct list *at = head->next; at != head; at = at->next) {
        const struct heuristic *heuristic = CONTAINER(at, struct heuristic, all);
        for (struct list *of = heuristic->parts.next; of != &heuristic->parts; of = of->next)
            append(server, heuristic, CONTAINER(of, struct heuristic_part, of), true);
    }
}

static bool take_id(const struct server *server, const char *coordinator, uint64_t epoch,
                    uint64_t seq, struct gid *id)
{
    *id = (struct gid){.tx = {epoch, seq}, .branch = -1};
    if (!coordinator[0])
        coordinator = server->coordinator;
    if (!name_valid(coordinator) || seq == 0)
        return false;
    strcpy(id->cluster, server->cluster);
    strcpy(id->coordinator, coordinator);
    return true;
}

bool heuristics_replayed(struct server *server, const Journal__Heuristic *record,
                         struct error *error)
{
    struct gid id;
    struct telling telling = {.branch = record->branch,
                              .commit = record->commit,
                              .reason = record->reason,
                              .by = record->by,
                              .found = record->found,
                              .at_us = record->at_us};
    if (!server->named || record->branch >= LIMIT_BRANCHES ||
        !take_id(server, record->coordinator, record->epoch, record->seq, &id))
        return server_senseless(error, "a heuristic outcome of a branch that can't be");
    if (record->participant[0]) {
        if (name_valid(record->participant))
            telling.participant = participants_meet(&server->participants, record->participant);
        if (!telling.participant)
            return server_senseless(error, "a heuristic outcome at no participant");
    }
    put(server, list(server, &id), &telling);
    return true;
}

bool heuristics_forgotten(struct server *server, const Journal__Forgotten *record,
                          struct error *error)
{
    struct gid id;
    if (!server->named || !take_id(server, record->coordinator, record->epoch, record->seq, &id))
        return server_senseless(error, "a transaction was forgotten that can't be");
    struct heuristic *heuristic = find_by_id(server, &id);
    if (heuristic)
        drop(&server->heuristics, heuristic);
    if (is_own(server, &id))
        server_forget_replayed(server, id.tx, record->at_us);
    return true;
}

/* ---- orders ---- */

uint64_t heuristics_order(struct server *server, const struct gid *id, const Wire__TxOrder *order)
{
    struct telling telling = {.commit = order->commit,
                              .reason = order->reason,
                              .by = order->by,
                              .found = "",
                              .at_us = server->host.wall_us(server->host.self)};
    struct heuristic *heuristic = list(server, id);
    struct heuristic_part *part = put(server, heuristic, &telling);
    heuristic->position = append(server, heuristic, part, true);
    return heuristic->position;
}

uint64_t heuristics_forget(struct server *server, const struct gid *id, const Wire__TxOrder *order)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__Forgotten body = JOURNAL__FORGOTTEN__INIT;
    struct heuristic *heuristic = find_by_id(server, id);
    if (!is_own(server, id))
        body.coordinator = (char *)id->coordinator;
    body.epoch = id->tx.epoch;
    body.seq = id->tx.seq;
    body.reason = order->reason;
    body.by = order->by;
    body.at_us = server->host.wall_us(server->host.self);
    record.body_case = JOURNAL__RECORD__BODY_FORGOTTEN;
    record.forgotten = &body;
    uint64_t position = server_append(server, &record, true);
    if (heuristic)
        drop(&server->heuristics, heuristic);
    if (is_own(server, id))
        server_forget_hazard(server, id->tx);
    return position;
}

bool heuristics_relay(struct server *server, struct guest *guest, const Wire__Branch *branch)
{
    struct txid id = {branch->epoch, branch->seq};
    gtrid_text gtrid;
    gid_text gid;
    gtrid_format(gtrid, server->cluster, server->coordinator, id);
    const struct heuristic *heuristic = heuristics_find(server, gtrid);
    if (!heuristic || !heuristic->ordered || heuristic->position > server->durable_position)
        return false; /* H1 */
    const struct heuristic_part *part = find_part(heuristic, NULL, 0);
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__TxOrder order = WIRE__TX_ORDER__INIT;
    order.kind = WIRE__TX_ORDER_KIND__RESOLVE;
    /* It may have several there, and asks about each. */
    gid_format(gid, server->cluster, server->coordinator, id, (int)branch->branch);
    order.gtrid = gid;
    order.commit = heuristic->commit;
    order.reason = part->reason;
    order.by = part->by;
    order.participant = guest->participant->name;
    order.relayed = true;
    message.body_case = WIRE__MESSAGE__BODY_TX_ORDER;
    message.tx_order = &order;
    return peer_send(guest->peer, &message, false);
}

/* ---- what participants tell ---- */

/* Its row is never changed: a participant that tells another value for it lost the row, or lies. */
static bool same(const struct heuristic_part *part, const struct telling *telling)
{
    return part->commit == telling->commit &&
           strncmp(part->found, telling->found, strlen(part->found)) == 0 &&
           (part->found[0] != '\0') == (telling->found[0] != '\0');
}

static void take(struct server *server, struct participant *participant, const struct gid *id,
                 const Wire__Heuristic *told)
{
    static const char changed[] = "it told before that the branch was forced otherwise";
    struct telling telling = {.participant = participant,
                              .branch = told->branch,
                              .commit = told->commit,
                              .reason = told->reason,
                              .by = told->by,
                              .found = told->found,
                              .at_us = told->at_us};
    struct heuristic *heuristic = list(server, id);
    const struct heuristic_part *known = find_part(heuristic, participant, told->branch);
    if (known && (same(known, &telling) || strcmp(known->found, changed) == 0))
        return;
    if (known && known->commit != told->commit)
        telling.found = changed;
    const struct heuristic_part *part = put(server, heuristic, &telling);
    append(server, heuristic, part, false);
    host_log(&server->host, LOG_WARNING,
             "an operator forced %s on a branch of transaction %s at participant %s (%s: %s)%s%s",
             part->commit ? "commit" : "abort", heuristic->gtrid, participant->name, part->by,
             part->reason, part->found[0] ? "; found: " : "", part->found);
}

static bool is_known(const struct server *server, const struct gid *id,
                     const struct participant *participant, const Wire__Heuristic *told)
{
    const struct heuristic *heuristic = find_by_id(server, id);
    return heuristic && find_part(heuristic, participant, told->branch);
}

void heuristics_told(struct server *server, struct guest *guest, const Wire__Heuristics *told)
{
    size_t strange = 0, refused = 0;
    for (size_t i = 0; i < told->n_heuristics; i++) {
        const Wire__Heuristic *one = told->heuristics[i];
        struct gid id;
        bool sound = one->coordinator[0] && one->branch < LIMIT_BRANCHES &&
                     take_id(server, one->coordinator, one->epoch, one->seq, &id);
        if (!sound)
            strange++;
        else if (!heuristics_room(server) && !is_known(server, &id, guest->participant, one))
            refused++;
        else
            take(server, guest->participant, &id, one);
    }
    if (strange)
        host_log(&server->host, LOG_WARNING,
                 "%zu heuristic outcomes of participant %s were ignored: no branches can have them",
                 strange, guest->participant->name);
    if (refused)
        host_log(&server->host, LOG_ERROR,
                 "%zu heuristic outcomes of participant %s are not listed: %d are, its limit; "
                 "forget some, they are told again in its next session",
                 refused, guest->participant->name, LIMIT_HEURISTICS);
}
