#include "participant/site.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/crash.h"
#include "core/planted.h"
#include "participant/agent_private.h"

static uint64_t now(const struct agent *agent)
{
    return agent->host.now_us(agent->host.self);
}

/* ---- sites in memory ----------------------------------------------------------------------- */

struct site_key {
    const char *coordinator;
    struct txid tx;
};

static bool site_matches(const struct map_node *node, const void *key)
{
    const struct site *site = CONTAINER(node, struct site, node);
    const struct site_key *wanted = key;
    return txid_equal(site->id.tx, wanted->tx) &&
           strcmp(site->id.coordinator, wanted->coordinator) == 0;
}

struct site *site_find(const struct agent *agent, const char *coordinator, struct txid tx)
{
    struct site_key key = {coordinator, tx};
    struct map_node *node = map_find(&agent->sites, txid_hash(tx), site_matches, &key);
    return node ? CONTAINER(node, struct site, node) : NULL;
}

static struct site *site_new(struct agent *agent, const struct gid *id, size_t text_size)
{
    struct site *site = xcalloc(1, sizeof(*site) + text_size);
    site->id = *id;
    gtrid_format(site->gtrid, agent->cluster, id->coordinator, id->tx);
    list_append(&agent->all_sites, &site->all);
    list_init(&site->touched);
    list_init(&site->round);
    map_insert(&agent->sites, &site->node, txid_hash(id->tx));
    return site;
}

static void site_free(struct site *site)
{
    termination_free(site->termination);
    if (site->sites != site->own_sites)
        free(site->sites);
    free(site);
}

/* Nobody needs it: what matters is in the row. */
static void site_end(struct agent *agent, struct site *site)
{
    termination_stop(agent, site);
    timers_clear(&agent->retries, &site->retry);
    map_remove(&agent->sites, &site->node);
    list_remove(&site->all);
    list_remove(&site->touched);
    site_free(site);
}

struct site *site_attach(struct agent *agent, struct entry *entry, int64_t begun_us,
                         const Wire__Prepare *prepare)
{
    size_t size = prepare ? sites_text_size(prepare->sites, prepare->n_sites) : 0;
    struct site *site = site_find(agent, entry->id.coordinator, entry->id.tx);
    bool fresh = !site;
    CHECK(fresh || !site->entry);
    if (fresh)
        site = site_new(agent, &entry->id, size);
    if (prepare && !site->sites) {
        site->sites = fresh ? site->own_sites : xmalloc(size);
        sites_text(site->sites, prepare->sites, prepare->n_sites);
    }
    if (fresh || prepare)
        site->begun_us = begun_us;
    site->id.branch = entry->id.branch;
    site->entry = entry;
    entry->site = site;
    site_touch(agent, site);
    return site;
}

void site_found(struct agent *agent, struct entry *entry, const struct db_prepared *prepared)
{
    struct site *site = entry->site;
    if (!site)
        site = site_attach(agent, entry, prepared->prepared_at_us, NULL);
    if (site->sites || !prepared->sites || !prepared->sites[0] || PLANTED(LIST_NOT_KEPT))
        return;
    /* A scan that began before the list was committed has not seen it. */
    site->sites = xstrdup(prepared->sites);
    site->unfit = false;
    site_touch(agent, site);
}

bool site_taken(const struct agent *agent, const struct gid *id)
{
    const struct site *site = site_find(agent, id->coordinator, id->tx);
    return site && site->entry;
}

void site_detach(struct agent *agent, struct entry *entry)
{
    if (!entry->site)
        return;
    entry->site->entry = NULL;
    site_touch(agent, entry->site);
    entry->site = NULL;
}

void site_touch(struct agent *agent, struct site *site)
{
    if (list_empty(&site->touched))
        list_append(&agent->touched, &site->touched);
}

bool site_was_asked(const struct site *site)
{
    return site->exists || site->request != SITE_IDLE || site->wait_count > 0 ||
           site->decision != REGISTER_EMPTY;
}

void site_prepared(struct agent *agent, struct site *site, bool has_row)
{
    /* Else what is with the database tells. */
    if (site->request == SITE_IDLE && !(site->known && site->exists)) {
        site->known = true;
        site->exists = has_row;
        site->state = (struct register_state){0};
    }
    site_touch(agent, site);
}

/* ---- messages ------------------------------------------------------------------------------ */

static bool transaction_valid(const char *coordinator, uint64_t seq)
{
    return seq != 0 && name_valid(coordinator);
}

static struct register_ask ask_read(const Wire__Ask *wire)
{
    bool accept = wire->question == WIRE__QUESTION__ACCEPT;
    return (struct register_ask){.question = (enum register_question)wire->question,
                                 .ballot = {wire->ballot->round, wire->ballot->site},
                                 .value =
                                     accept ? (enum register_value)wire->value : REGISTER_EMPTY};
}

/* Every site asks with ballots of its own, and only the coordinator on the coordinator's link. */
static bool ask_valid(const Wire__Ask *wire, bool coordinator)
{
    if (!transaction_valid(wire->coordinator, wire->seq) || !wire->ballot || wire->site < 1 ||
        wire->site >= LIMIT_SITES)
        return false;
    struct register_ask ask = ask_read(wire);
    return register_ask_sound(&ask) && ask.ballot.site != wire->site &&
           coordinator == (ask.ballot.site == 0);
}

/* As far as this site knows who is which. */
static bool asker_fits(const struct site *site, const char *from, const Wire__Ask *ask)
{
    if (site->id.branch >= 0 && ask->site != (uint32_t)site->id.branch + 1)
        return false;
    if (ask->ballot->site == 0 || !site->sites)
        return true;
    struct site_address list[SITES_MOST];
    char *text = xstrdup(site->sites);
    int count = sites_split(text, list);
    bool fits = count == 0 || ((int)ask->ballot->site <= count &&
                               strcmp(list[ask->ballot->site - 1].name, from) == 0);
    free(text);
    return fits;
}

/* NULL: too many already. */
static struct site *site_asked(struct agent *agent, const Wire__Ask *ask)
{
    struct gid id = {.tx = {ask->epoch, ask->seq}, .branch = (int)ask->site - 1};
    struct site *site = site_find(agent, ask->coordinator, id.tx);
    if (site || agent->sites.count >= SITES_ANSWERING_MOST)
        return site;
    gid_text gid;
    snprintf(id.cluster, sizeof(id.cluster), "%s", agent->cluster);
    snprintf(id.coordinator, sizeof(id.coordinator), "%s", ask->coordinator);
    gid_format(gid, id.cluster, id.coordinator, id.tx, id.branch);
    struct entry *entry = entry_find(agent, gid);
    id.branch = -1;
    site = entry ? site_attach(agent, entry, 0, NULL) : site_new(agent, &id, 0);
    site->begun_us = ask->begun_us;
    return site;
}

void site_ask(struct agent *agent, const char *from, bool coordinator, uint64_t session,
              const Wire__Ask *ask)
{
    /* A crash here: nothing happened yet. The question comes again. */
    CRASH_POINT("participant.asked");
    bool valid =
        ask_valid(ask, coordinator) && (!coordinator || strcmp(ask->coordinator, from) == 0);
    struct site *site = valid ? site_asked(agent, ask) : NULL;
    if (!valid || (site && !asker_fits(site, from, ask))) {
        host_log(&agent->host, LOG_WARNING,
                 "%s %s asked something impossible of a register; it is ignored",
                 coordinator ? "coordinator" : "participant", from);
        return;
    }
    if (!site)
        return;
    struct site_wait wait = {.session = session, .site = ask->site, .ask = ask_read(ask)};
    site_add_wait(site, &wait);
    site_touch(agent, site);
}

/* The branch is being ended otherwise, or could not have been counted on. */
static bool opposed(const struct site *site, enum register_value value)
{
    if (!site->entry)
        return false;
    const struct branch *branch = &site->entry->branch;
    bool commit = value == REGISTER_COMMIT;
    if (branch->state == BRANCH_QUEUED || branch->state == BRANCH_WORKING ||
        branch->state == BRANCH_ADOPTING)
        return commit;
    return branch->decision != BRANCH_UNDECIDED && commit != (branch->decision == BRANCH_COMMIT);
}

static void step_decided(struct agent *agent, struct entry *entry, enum register_value value)
{
    heuristic_decided(agent, &entry->id, value == REGISTER_COMMIT);
    entry_step(agent, entry,
               &(struct branch_event){.kind = BRANCH_DECIDED, .commit = value == REGISTER_COMMIT});
}

void site_contradicted(struct agent *agent, struct site *site, const char *from)
{
    if (site->contradicted)
        return;
    site->contradicted = true;
    host_log(&agent->host, LOG_ERROR,
             "hazard: %s: %s says that it was decided otherwise than this site knows; nothing is "
             "changed here",
             site->gtrid, from);
}

void site_learn(struct agent *agent, struct site *site, enum register_value value, const char *from)
{
    if (opposed(site, value)) {
        if (!site->contradicted)
            step_decided(agent, site->entry, value); /* which says so */
        site_contradicted(agent, site, from);
    } else if (site->decision == REGISTER_EMPTY) {
        site->decision = (uint8_t)value;
        site->keep = true;
        host_log(&agent->host, LOG_DEBUG, "%s: %s, says %s", site->gtrid,
                 value == REGISTER_COMMIT ? "commit" : "abort", from);
        site_touch(agent, site);
    } else if (site->decision != (uint8_t)value) {
        site_contradicted(agent, site, from);
    }
}

void site_hear_decided(struct agent *agent, const char *from, const Wire__Decided *decided)
{
    if (!transaction_valid(decided->coordinator, decided->seq) ||
        (decided->value != WIRE__VALUE__ABORT && decided->value != WIRE__VALUE__COMMIT)) {
        host_log(&agent->host, LOG_WARNING, "%s told an impossible decision; it is ignored", from);
        return;
    }
    struct site *site =
        site_find(agent, decided->coordinator, (struct txid){decided->epoch, decided->seq});
    struct gid id = {.tx = {decided->epoch, decided->seq}, .branch = -1};
    snprintf(id.coordinator, sizeof(id.coordinator), "%s", decided->coordinator);
    heuristic_decided(agent, &id, decided->value == WIRE__VALUE__COMMIT);
    /* Nobody here waits for it. A branch that is found later asks. */
    if (site)
        site_learn(agent, site, (enum register_value)decided->value, from);
}

/* ---- the end of a turn --------------------------------------------------------------------- */

static void tell_branch(struct agent *agent, struct site *site)
{
    struct entry *entry = site->entry;
    if (!entry || site->decision == REGISTER_EMPTY ||
        (site->applied && entry->branch.state != BRANCH_IN_DOUBT))
        return;
    site->applied = true;
    step_decided(agent, entry, (enum register_value)site->decision);
}

static bool needed(const struct site *site)
{
    return site->entry || site->request != SITE_IDLE || site->wait_count > 0 || site->keep;
}

static void turn(struct agent *agent, struct site *site)
{
    tell_branch(agent, site);
    termination_turn(agent, site);
    while (site_step(agent, site))
        ;
    if (!needed(site))
        site_end(agent, site);
}

static void run_due(struct agent *agent)
{
    uint64_t now_us = now(agent);
    for (struct timer *timer; (timer = timers_due(&agent->retries, now_us)) != NULL;)
        site_touch(agent, CONTAINER(timer, struct site, retry));
    for (struct timer *timer; (timer = timers_due(&agent->turns, now_us)) != NULL;)
        termination_due(agent, timer);
}

void sites_settle(struct agent *agent)
{
    run_due(agent);
    do {
        while (!list_empty(&agent->touched)) {
            struct list *first = agent->touched.next;
            list_remove(first);
            turn(agent, CONTAINER(first, struct site, touched));
        }
        termination_pump(agent);
    } while (!list_empty(&agent->touched));
}

void sites_database_up(struct agent *agent)
{
    for (struct list *node = agent->all_sites.next; node != &agent->all_sites; node = node->next) {
        struct site *site = CONTAINER(node, struct site, all);
        if (site->retry.place == 0)
            continue;
        timers_clear(&agent->retries, &site->retry);
        site_touch(agent, site);
    }
}

void sites_free(struct agent *agent)
{
    while (!list_empty(&agent->all_sites)) {
        struct site *site = CONTAINER(agent->all_sites.next, struct site, all);
        list_remove(&site->all);
        site_free(site);
    }
    map_fini(&agent->sites);
    timers_fini(&agent->retries);
    timers_fini(&agent->turns);
}
