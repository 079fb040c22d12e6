/* What a participant tells those who look: the branches that are in doubt or being finished here,
 * and what it has heard of the other sites' registers. It answers while the coordinator is gone.
 * Everything that a view points to that does not live in the agent comes from one arena. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
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

/* What this site holds itself is not among what it heard. */
static void view_own(struct draft *draft, const struct site *site, Wire__SiteView *view)
{
    struct register_state state = site->state;
    view->reachable = true;
    if (site->decision != REGISTER_EMPTY)
        state.value = site->decision;
    if (site->decision != REGISTER_EMPTY || site->known)
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
    if (entry->branch.state != BRANCH_IN_DOUBT)
        return branch_view_word(entry->branch.state);
    if (entry->site && termination_runs(entry->site))
        return "terminating";
    return entry->branch.held ? "held" : "in-doubt";
}

static Wire__BranchView *view_branch(struct draft *draft, struct entry *entry)
{
    Wire__BranchView *view = take(draft, sizeof(*view));
    wire__branch_view__init(view);
    view->participant = draft->agent->participant;
    view->state = (char *)branch_view_word(entry->branch.state);
    view->xid = entry->branch.xid;
    view->gid = entry->gid;
    return view;
}

static Wire__TransactionView *view_transaction(struct draft *draft, struct entry *entry)
{
    Wire__TransactionView *view = take(draft, sizeof(*view));
    wire__transaction_view__init(view);
    view->gtrid = take(draft, sizeof(gtrid_text));
    gtrid_format(view->gtrid, entry->id.cluster, entry->id.coordinator, entry->id.tx);
    view->state = (char *)transaction_word(entry);
    view->in_doubt = entry->branch.state == BRANCH_IN_DOUBT;
    view->branches = take(draft, sizeof(void *));
    view->branches[view->n_branches++] = view_branch(draft, entry);
    view->waits_for = waits_for(draft, entry);
    if (!entry->site)
        return view;
    view->protocol = WIRE__PROTOCOL__THREE_PHASE;
    view->begun_us = entry->site->begun_us;
    view_sites(draft, entry->site, view);
    view->terminator = view_terminator(view);
    view->phase = (char *)phase(view);
    return view;
}

/* What has no vote yet, or a single phase, is nobody's trouble. */
static bool wanted(const struct entry *entry, const Wire__Query *query)
{
    switch (entry->branch.state) {
    case BRANCH_IN_DOUBT:
        return true;
    case BRANCH_COMMITTING:
    case BRANCH_ABORTING:
    case BRANCH_PROVING:
    case BRANCH_UNSURE:
        return !query->in_doubt;
    default:
        return false;
    }
}

static void answer_transactions(struct draft *draft, const Wire__Query *query)
{
    struct agent *agent = draft->agent;
    Wire__Answer *answer = &draft->answer;
    size_t room = query->limit ? query->limit : DEFAULT_ROWS;
    if (room > agent->by_gid.count)
        room = agent->by_gid.count;
    answer->transactions = take(draft, sizeof(void *) * (room + 1));
    if (query->participant[0] && strcmp(query->participant, agent->participant) != 0)
        return;
    for (struct list *at = agent->entries.previous; at != &agent->entries; at = at->previous) {
        struct entry *entry = CONTAINER(at, struct entry, all);
        if (!wanted(entry, query))
            continue;
        if (answer->more > 0 || answer->n_transactions == room) {
            answer->more++;
            continue;
        }
        Wire__TransactionView *view = view_transaction(draft, entry);
        size_t size = wire__transaction_view__get_packed_size(view) + 8;
        if (draft->bytes + size > LIMIT_MESSAGE_BYTES) {
            answer->more++;
            continue;
        }
        draft->bytes += size;
        answer->transactions[answer->n_transactions++] = view;
    }
}

static struct entry *find_transaction(const struct agent *agent, const struct gid *id)
{
    for (struct list *at = agent->entries.next; at != &agent->entries; at = at->next) {
        struct entry *entry = CONTAINER(at, struct entry, all);
        if (txid_equal(entry->id.tx, id->tx) && strcmp(entry->id.coordinator, id->coordinator) == 0)
            return entry;
    }
    return NULL;
}

static void answer_transaction(struct draft *draft, const Wire__Query *query)
{
    struct gid id;
    if (!gtrid_parse(query->gtrid, &id) && !gid_parse(query->gtrid, &id)) {
        fail(draft, "bad_request", "this is not the id of a transaction",
             "it looks like CLUSTER.COORDINATOR.EPOCH.SEQ: see `troth tx list`");
        return;
    }
    bool here = strcmp(id.cluster, draft->agent->cluster) == 0;
    struct entry *entry = here ? find_transaction(draft->agent, &id) : NULL;
    if (!entry) {
        char text[160];
        snprintf(text, sizeof(text), "participant %s holds nothing of it that is to be finished",
                 draft->agent->participant);
        fail(draft, "unknown", text,
             "its coordinator knows how it ended, and where other participants are");
        return;
    }
    draft->answer.transactions = take(draft, sizeof(void *));
    draft->answer.transactions[draft->answer.n_transactions++] = view_transaction(draft, entry);
}

/* ---- this participant ---------------------------------------------------------------------- */

static void count_branches(const struct agent *agent, Wire__ParticipantView *view)
{
    for (const struct list *at = agent->entries.next; at != &agent->entries; at = at->next) {
        enum branch_state state = CONTAINER(at, struct entry, all)->branch.state;
        view->working +=
            state == BRANCH_QUEUED || state == BRANCH_WORKING || state == BRANCH_IN_DOUBT;
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

void view_answer(struct agent *agent, struct peer *peer, const Wire__Query *query)
{
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
