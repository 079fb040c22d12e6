/* What a participant tells those who look: the branches that are in doubt or being finished here,
 * and what it has heard of the other sites' registers. It answers while the coordinator is gone.
 * Everything that a view points to that does not live in the agent comes from one arena. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "core/check.h"
#include "core/samples.h"
#include "participant/agent_private.h"

enum {
    DEFAULT_ROWS = 100,
    ARENA_BYTES = 64 * 1024,
    ANSWER_OVERHEAD_BYTES = 1024, /* what the answer itself takes of a message */
};

struct draft {
    struct agent *agent;
    Wire__Answer answer;
    struct arena arena;
    size_t bytes; /* of the rows so far */
};

static void *take(struct draft *draft, size_t size)
{
    return draft->arena.allocator.alloc(draft->arena.allocator.allocator_data, size);
}

static char *take_text(struct draft *draft, const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(take(draft, size), text, size);
}

static void fail(struct draft *draft, const char *code, const char *message, const char *hint)
{
    Wire__Problem *problem = take(draft, sizeof(*problem));
    wire__problem__init(problem);
    problem->participant = draft->agent->participant;
    problem->code = (char *)code;
    problem->message = take_text(draft, message);
    problem->hint = (char *)hint;
    draft->answer.problem = problem;
}

/* ---- the sites of a transaction ------------------------------------------------------------ */

static Wire__Ballot *view_ballot(struct draft *draft, struct ballot ballot)
{
    Wire__Ballot *view = take(draft, sizeof(*view));
    wire__ballot__init(view);
    view->round = ballot.round;
    view->site = ballot.site;
    return view;
}

static void view_register(struct draft *draft, Wire__SiteView *view,
                          const struct register_state *state, bool decided)
{
    view->heard = true;
    view->decided = decided;
    view->value = (Wire__Value)state->value;
    if (decided)
        return; /* its ballots are above all and mean nothing */
    view->promised = view_ballot(draft, state->promised);
    view->accepted = view_ballot(draft, state->accepted);
}

/* What this site holds itself is not among what it heard. It is shown when no crash can lose it. */
static void view_own(struct draft *draft, const struct site *site, Wire__SiteView *view)
{
    struct register_state state = site->state;
    view->reachable = true;
    if (site->decision != REGISTER_EMPTY)
        state.value = site->decision;
    if (site->decision != REGISTER_EMPTY || (site->known && !site->unflushed))
        view_register(draft, view, &state, site->decision != REGISTER_EMPTY);
}

static Wire__SiteView *view_site(struct draft *draft, const struct site *site, int number,
                                 const char *name, const char *address)
{
    const struct agent *agent = draft->agent;
    const struct termination *termination = site->termination;
    Wire__SiteView *view = take(draft, sizeof(*view));
    wire__site_view__init(view);
    view->site = (uint32_t)number;
    view->name = (char *)name;
    view->address = (char *)address;
    if (number == site->id.branch + 1) {
        view_own(draft, site, view);
        return view;
    }
    view->reachable =
        number == 0 ? agent_link(draft->agent, name) != NULL : line_reaches(agent, name, address);
    if (termination && termination->sites[number].heard)
        view_register(draft, view, &termination->sites[number].state,
                      termination->sites[number].decided);
    return view;
}

/* Nobody was told who the others are, as long as the row was not loaded. */
static void view_sites(struct draft *draft, const struct site *site, Wire__TransactionView *view)
{
    struct site_address list[SITES_MOST];
    int count = site->sites ? sites_split(take_text(draft, site->sites), list) : 0;
    view->sites = take(draft, sizeof(void *) * (size_t)(count + 1));
    view->sites[view->n_sites++] = view_site(draft, site, 0, site->id.coordinator, "");
    for (int i = 0; i < count; i++)
        view->sites[view->n_sites++] = view_site(draft, site, i + 1, list[i].name, list[i].address);
}

/* Who promised nothing but the coordinator's own ballot knows of no terminator. */
static char *view_terminator(const Wire__TransactionView *view)
{
    struct ballot highest = {0, 0};
    for (size_t i = 0; i < view->n_sites; i++) {
        const Wire__Ballot *promised = view->sites[i]->promised;
        if (promised &&
            ballot_compare((struct ballot){promised->round, promised->site}, highest) > 0)
            highest = (struct ballot){promised->round, promised->site};
    }
    return highest.round > 0 && highest.site < view->n_sites ? view->sites[highest.site]->name
                                                             : (char *)"";
}

static const char *phase(const Wire__TransactionView *view)
{
    const char *phase = "can-commit";
    for (size_t i = 0; i < view->n_sites; i++) {
        if (view->sites[i]->decided)
            return "do-commit";
        if (view->sites[i]->heard && view->sites[i]->value != WIRE__VALUE__EMPTY)
            phase = "pre-commit";
    }
    return phase;
}

static char *waits_for_majority(struct draft *draft, const struct site *site)
{
    const struct proposer *proposer = &site->termination->proposer;
    int granted = proposer_granted(proposer);
    char text[80];
    snprintf(text, sizeof(text), "a majority: %d of %d sites %s answered", granted, proposer->sites,
             granted == 1 ? "has" : "have");
    return take_text(draft, text);
}

static char *waits_for_asker(struct draft *draft, const struct site *site)
{
    char text[80];
    if (!site->minority)
        return (char *)"another site, which asks too";
    snprintf(text, sizeof(text), "a majority of its %d sites; another asks for it, too",
             site->termination->proposer.sites);
    return take_text(draft, text);
}

static char *waits_for(struct draft *draft, const struct entry *entry)
{
    const struct site *site = entry->site;
    bool in_doubt = entry->branch.state == BRANCH_IN_DOUBT;
    if (!draft->agent->database_up || (site && site->retry.place != 0))
        return (char *)"its database";
    if (!in_doubt)
        return (char *)"";
    if (site && termination_runs(site) && site->termination)
        return site->course == COURSE_RESTING ? waits_for_asker(draft, site)
                                              : waits_for_majority(draft, site);
    if (site && termination_runs(site))
        return (char *)"others that are finished first";
    if (entry->branch.held)
        return (char *)"an operator";
    return (char *)(site && site->unfit ? "its coordinator: its register can't tell whom to ask"
                                        : "its coordinator");
}

/* ---- transactions -------------------------------------------------------------------------- */

static const char *branch_view_word(enum branch_state state)
{
    switch (state) {
    case BRANCH_IN_DOUBT:
        return "prepared";
    case BRANCH_QUEUED:
        return "waiting";
    default:
        return branch_word(state);
    }
}

static const char *transaction_word(const struct entry *entry)
{
    if (entry->branch.open && entry->branch.state == BRANCH_WORKING)
        return branch_word(BRANCH_OPEN);
    if (entry->branch.state != BRANCH_IN_DOUBT)
        return branch_view_word(entry->branch.state);
    if (entry->site && termination_runs(entry->site))
        return "terminating";
    return entry->branch.held ? "held" : "in-doubt";
}

/* What is shown as one transaction: a branch, what was forced of it, or both. */
struct item {
    struct entry *entry;
    const struct heuristic *row;
};

static struct item item_of(const struct agent *agent, struct entry *entry)
{
    struct item item = {.entry = entry, .row = heuristic_find(agent, entry->gid)};
    if (item.row && item.row->state == HEURISTIC_STORING)
        item.row = NULL;
    return item;
}

static const char *item_word(const struct item *item)
{
    return item->entry ? transaction_word(item->entry) : "heuristic";
}

static const struct gid *item_id(const struct item *item)
{
    return item->entry ? &item->entry->id : &item->row->id;
}

static bool is_mixed(const struct item *item)
{
    return item->row && strcmp(heuristic_word(item->row), "mixed") == 0;
}

/* Nothing is known here with which it could be compared: neither a decision, nor other branches. */
static bool is_unproved(const struct item *item)
{
    bool decided =
        item->entry && item->entry->site && item->entry->site->decision != REGISTER_EMPTY;
    return item->row && item->row->decided == BRANCH_UNDECIDED && !decided;
}

/* How the database has ended the branch, as far as that is known. */
static const char *ended_word(const struct heuristic *row)
{
    if (row->state != HEURISTIC_ENDED)
        return row->commit ? "committing" : "aborting";
    return row->commit == (row->found[0] == '\0') ? "committed" : "aborted";
}

static Wire__BranchView *view_branch(struct draft *draft, const struct item *item)
{
    const struct entry *entry = item->entry;
    const struct heuristic *row = item->row;
    Wire__BranchView *view = take(draft, sizeof(*view));
    wire__branch_view__init(view);
    view->participant = draft->agent->participant;
    view->state = (char *)(entry ? branch_view_word(entry->branch.state) : ended_word(row));
    view->xid = entry && entry->branch.xid != 0 ? entry->branch.xid : row ? row->xid : 0;
    view->gid = (char *)(entry ? entry->gid : row->gid);
    view->voted_us = entry ? entry->doubt_us : 0;
    if (row) {
        view->heuristic = take(draft, sizeof(*view->heuristic));
        heuristic_fill(draft->agent, row, view->heuristic);
    }
    return view;
}

static void view_site_of(struct draft *draft, const struct site *site, Wire__TransactionView *view)
{
    view->protocol = WIRE__PROTOCOL__THREE_PHASE;
    view->begun_us = site->begun_us;
    view_sites(draft, site, view);
    view->terminator = view_terminator(view);
    view->phase = (char *)phase(view);
    if (site->decision != REGISTER_EMPTY)
        view->decision = (char *)(site->decision == REGISTER_COMMIT ? "commit" : "abort");
}

static void view_heuristic(const struct item *item, Wire__TransactionView *view)
{
    const struct heuristic *row = item->row;
    view->heuristic = (char *)heuristic_word(row);
    view->hazard = is_unproved(item);
    view->n_heuristics = 1;
    view->heuristics = &view->branches[0]->heuristic;
    if (row->decided != BRANCH_UNDECIDED)
        view->decision = (char *)(row->decided == BRANCH_COMMIT ? "commit" : "abort");
}

static Wire__TransactionView *view_transaction(struct draft *draft, const struct item *item)
{
    Wire__TransactionView *view = take(draft, sizeof(*view));
    const struct gid *id = item_id(item);
    wire__transaction_view__init(view);
    view->gtrid = take(draft, sizeof(gtrid_text));
    gtrid_format(view->gtrid, id->cluster, id->coordinator, id->tx);
    view->state = (char *)item_word(item);
    view->in_doubt = item->entry && item->entry->branch.state == BRANCH_IN_DOUBT;
    view->branches = take(draft, sizeof(void *));
    view->branches[view->n_branches++] = view_branch(draft, item);
    if (item->entry)
        view->waits_for = waits_for(draft, item->entry);
    if (item->entry && item->entry->site)
        view_site_of(draft, item->entry->site, view);
    if (item->row)
        view_heuristic(item, view);
    return view;
}

/* What has no vote yet, or a single phase, is nobody's trouble. But what is held open may be. */
static bool is_trouble(const struct item *item)
{
    if (!item->entry)
        return true;
    switch (item->entry->branch.state) {
    case BRANCH_IN_DOUBT:
    case BRANCH_ACCEPTING:
    case BRANCH_COMMITTING:
    case BRANCH_ABORTING:
    case BRANCH_PROVING:
    case BRANCH_UNSURE:
    case BRANCH_ADOPTING:
        return true;
    default:
        return item->entry->holds;
    }
}

static bool is_old_enough(const struct agent *agent, const struct item *item, uint64_t older_us)
{
    int64_t since_us = item->entry ? item->entry->doubt_us : item->row->at_us;
    int64_t age_us = agent->host.wall_us(agent->host.self) - since_us;
    return older_us == 0 || (since_us > 0 && age_us > 0 && (uint64_t)age_us >= older_us);
}

static bool has_state(const struct item *item, const Wire__Query *query)
{
    for (size_t i = 0; i < query->n_states; i++) {
        if (strcmp(query->states[i], item_word(item)) == 0)
            return true;
    }
    return query->n_states == 0;
}

/* Both kinds when both are asked for. */
static bool is_of_kind(const struct item *item, const Wire__Query *query)
{
    return (!query->heuristic && !query->hazard) || (query->heuristic && item->row) ||
           (query->hazard && (is_mixed(item) || is_unproved(item)));
}

static bool wanted(const struct agent *agent, const struct item *item, const Wire__Query *query)
{
    bool in_doubt = item->entry && item->entry->branch.state == BRANCH_IN_DOUBT;
    return is_trouble(item) && (!query->in_doubt || in_doubt || is_mixed(item)) &&
           is_of_kind(item, query) && has_state(item, query) &&
           is_old_enough(agent, item, query->older_us);
}

static int newer_first(const void *a, const void *b)
{
    const struct heuristic *one = ((const struct item *)a)->row,
                           *two = ((const struct item *)b)->row;
    return (one->at_us < two->at_us) - (one->at_us > two->at_us);
}

/* Newest first: branches in the order in which they came, then what was forced and has ended. */
static size_t collect(const struct agent *agent, const Wire__Query *query, struct item *items)
{
    size_t count = 0, branches;
    for (struct list *at = agent->entries.previous; at != &agent->entries; at = at->previous) {
        items[count] = item_of(agent, CONTAINER(at, struct entry, all));
        count += wanted(agent, &items[count], query);
    }
    branches = count;
    const struct list *rows = &agent->heuristics.all;
    for (const struct list *at = rows->next; at != rows; at = at->next) {
        const struct heuristic *row = CONTAINER(at, struct heuristic, all);
        items[count] = (struct item){.row = row};
        count += row->state != HEURISTIC_STORING && !entry_find((struct agent *)agent, row->gid) &&
                 wanted(agent, &items[count], query);
    }
    qsort(items + branches, count - branches, sizeof(*items), newer_first);
    for (size_t i = 0; query->oldest_first && i < count / 2; i++) {
        struct item item = items[i];
        items[i] = items[count - 1 - i];
        items[count - 1 - i] = item;
    }
    return count;
}

/* The first after the one that is named; count: that one is not among them. */
static size_t place_after(const struct item *items, size_t count, const char *from)
{
    for (size_t i = 0; i < count; i++) {
        gtrid_text gtrid;
        const struct gid *id = item_id(&items[i]);
        gtrid_format(gtrid, id->cluster, id->coordinator, id->tx);
        if (strcmp(gtrid, from) == 0)
            return i + 1;
    }
    return count;
}

static void answer_transactions(struct draft *draft, const Wire__Query *query)
{
    const struct agent *agent = draft->agent;
    Wire__Answer *answer = &draft->answer;
    if (query->participant[0] && strcmp(query->participant, agent->participant) != 0)
        return;
    size_t most = agent->by_gid.count + agent->heuristics.count;
    size_t room = query->limit ? query->limit : DEFAULT_ROWS;
    struct item *items = xcalloc(most + 1, sizeof(*items));
    size_t count = collect(agent, query, items);
    size_t first = query->from[0] ? place_after(items, count, query->from) : 0;
    answer->transactions = take(draft, sizeof(void *) * ((room < count ? room : count) + 1));
    for (size_t i = first; i < count; i++) {
        if (answer->more > 0 || answer->n_transactions == room) {
            answer->more++;
            continue;
        }
        Wire__TransactionView *view = view_transaction(draft, &items[i]);
        size_t size = wire__transaction_view__get_packed_size(view) + 8;
        if (draft->bytes + size > LIMIT_MESSAGE_BYTES) {
            answer->more++;
            continue;
        }
        draft->bytes += size;
        answer->transactions[answer->n_transactions++] = view;
    }
    free(items);
}

/* False: nothing of it is here. */
static bool find_transaction(const struct agent *agent, const struct gid *id, struct item *item)
{
    struct gid transaction = *id;
    transaction.branch = -1;
    for (struct list *at = agent->entries.next; at != &agent->entries; at = at->next) {
        struct entry *entry = CONTAINER(at, struct entry, all);
        if (!txid_equal(entry->id.tx, id->tx) ||
            strcmp(entry->id.coordinator, id->coordinator) != 0)
            continue;
        *item = item_of(agent, entry);
        return true;
    }
    *item = (struct item){.row = heuristic_of(agent, &transaction)};
    return item->row && item->row->state != HEURISTIC_STORING;
}

static void answer_transaction(struct draft *draft, const Wire__Query *query)
{
    struct gid id;
    struct item item;
    if (!gtrid_parse(query->gtrid, &id) && !gid_parse(query->gtrid, &id)) {
        fail(draft, "bad_request", "this is not the id of a transaction",
             "it looks like CLUSTER.COORDINATOR.EPOCH.SEQ: see `troth tx list`");
        return;
    }
    if (strcmp(id.cluster, draft->agent->cluster) != 0 ||
        !find_transaction(draft->agent, &id, &item)) {
        char text[160];
        snprintf(text, sizeof(text), "participant %s holds nothing of it that is to be finished",
                 draft->agent->participant);
        fail(draft, "unknown", text,
             "its coordinator knows how it ended, and where other participants are");
        return;
    }
    draft->answer.transactions = take(draft, sizeof(void *));
    draft->answer.transactions[draft->answer.n_transactions++] = view_transaction(draft, &item);
}

/* ---- this participant ---------------------------------------------------------------------- */

static void count_branches(const struct agent *agent, Wire__ParticipantView *view)
{
    for (const struct list *at = agent->entries.next; at != &agent->entries; at = at->next) {
        enum branch_state state = CONTAINER(at, struct entry, all)->branch.state;
        view->working += state == BRANCH_QUEUED || state == BRANCH_WORKING ||
                         state == BRANCH_IN_DOUBT || state == BRANCH_ACCEPTING;
        view->unapplied += state == BRANCH_COMMITTING || state == BRANCH_PROVING;
    }
}

static void answer_participants(struct draft *draft, const struct status *status,
                                const Wire__Query *query)
{
    const struct agent *agent = draft->agent;
    const Wire__Status *facts = &status->wire;
    if (query->participant[0] && strcmp(query->participant, agent->participant) != 0)
        return;
    if (query->what == WIRE__WHAT__OFFERS && strcmp(query->from, agent->participant) >= 0)
        return; /* it has been told */
    Wire__ParticipantView *view = take(draft, sizeof(*view));
    wire__participant_view__init(view);
    view->name = agent->participant;
    view->connected = true;
    view->since_us = agent->started_us;
    view->software = (char *)"troth " TROTH_VERSION;
    view->database_up = facts->database_up;
    view->database_reason = facts->database_reason;
    view->prepared = facts->prepared;
    view->prepared_foreign = facts->prepared_foreign;
    view->prepared_slots = facts->prepared_slots;
    view->oldest_prepared_us = facts->oldest_prepared_us;
    view->held = facts->held;
    view->n_held = facts->n_held;
    view->operations = facts->operations;
    view->n_operations = facts->n_operations;
    view->listen = facts->listen;
    view->terminating = facts->terminating;
    view->minority = facts->minority;
    view->executing = (uint32_t)agent->by_key.count;
    if (query->what == WIRE__WHAT__OFFERS) {
        view->offers = facts->offers;
        view->n_offers = facts->n_offers;
    }
    count_branches(agent, view);
    draft->answer.participants = take(draft, sizeof(void *));
    draft->answer.participants[draft->answer.n_participants++] = view;
}

static void *take_for_sample(void *self, size_t size)
{
    return take(self, size);
}

static bool sample_fits(void *self, size_t packed)
{
    struct draft *draft = self;
    size_t size = packed + 8;
    if (draft->bytes + size > LIMIT_MESSAGE_BYTES)
        return false;
    draft->bytes += size;
    return true;
}

static void read_metrics(void *of, struct metrics_sink *sink)
{
    agent_metrics(of, sink);
}

static void answer_metrics(struct draft *draft)
{
    struct samples_room room = {draft, take_for_sample, sample_fits};
    samples_answer(&draft->answer, &room, read_metrics, draft->agent);
}

static void answer_coordinator(struct draft *draft)
{
    char text[160];
    snprintf(text, sizeof(text), "this is participant %s, not a coordinator",
             draft->agent->participant);
    fail(draft, "participant", text,
         "it answers tx list, tx show and participant list for its own database; a coordinator's "
         "address is `listen` in its trothd.yaml");
}

void view_answer(struct agent *agent, const struct guest *guest, const Wire__Query *query)
{
    if (query->what == WIRE__WHAT__EVIDENCE || query->what == WIRE__WHAT__PREPARED ||
        query->what == WIRE__WHAT__DIAGNOSIS) {
        inquiry_take(agent, guest->session, query);
        return;
    }
    struct peer *peer = guest->peer;
    struct draft draft = {.agent = agent, .bytes = ANSWER_OVERHEAD_BYTES};
    struct status status;
    Wire__Message message = WIRE__MESSAGE__INIT;
    wire__answer__init(&draft.answer);
    arena_init(&draft.arena, ARENA_BYTES);
    status_fill(agent, &status);
    draft.answer.request = query->request;
    switch (query->what) {
    case WIRE__WHAT__TRANSACTIONS:
        answer_transactions(&draft, query);
        break;
    case WIRE__WHAT__TRANSACTION:
        answer_transaction(&draft, query);
        break;
    case WIRE__WHAT__PARTICIPANTS:
    case WIRE__WHAT__OFFERS:
        answer_participants(&draft, &status, query);
        break;
    case WIRE__WHAT__COORDINATOR:
    case WIRE__WHAT__SAGAS:
    case WIRE__WHAT__SAGA:
        answer_coordinator(&draft);
        break;
    case WIRE__WHAT__METRICS:
        answer_metrics(&draft);
        break;
    default:
        fail(&draft, "bad_request", "this version does not know the question", "");
        break;
    }
    message.body_case = WIRE__MESSAGE__BODY_ANSWER;
    message.answer = &draft.answer;
    /* Refused when too much waits for this one already: it does not read its answers. */
    if (!peer_send(peer, &message, false))
        host_log(&agent->host, LOG_WARNING, "an answer to %s was dropped", peer_name(peer));
    status_fini(&status);
    arena_fini(&draft.arena);
}
