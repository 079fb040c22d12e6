/* The answers to queries: what a person sees of the coordinator. */
#include "coordinator/views.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"

enum {
    DEFAULT_ROWS = 100,
    ARENA_BYTES = 128 * 1024,
    /* What the answer itself and its coordinator's view take of a message. */
    ANSWER_OVERHEAD_BYTES = 1024,
};

void *draft_take(struct draft *draft, size_t size)
{
    return draft->arena.allocator.alloc(draft->arena.allocator.allocator_data, size);
}

bool draft_fits(struct draft *draft, size_t size)
{
    size += 8; /* its tag and its size */
    if (draft->bytes + size > LIMIT_MESSAGE_BYTES)
        return false;
    draft->bytes += size;
    return true;
}

size_t draft_rows(const Wire__Query *query)
{
    return query->limit ? query->limit : DEFAULT_ROWS;
}

void draft_fail(struct draft *draft, const char *code, const char *message, const char *hint)
{
    Wire__Problem *problem = draft_take(draft, sizeof(*problem));
    wire__problem__init(problem);
    problem->code = (char *)code;
    problem->message = (char *)message;
    problem->hint = (char *)hint;
    draft->answer.problem = problem;
}

/* ---- participants and the coordinator ---- */

static Wire__ParticipantView *view_participant(struct draft *draft,
                                               const struct participant *participant)
{
    const struct participant_report *report = &participant->report;
    Wire__ParticipantView *view = draft_take(draft, sizeof(*view));
    wire__participant_view__init(view);
    view->name = (char *)participant->name;
    view->connected = participant->peer != NULL;
    view->since_us = participant->changed_us;
    view->software = text_or_empty(participant->software);
    view->database_up = view->connected && report->database_up;
    view->database_reason = text_or_empty(report->database_reason);
    view->prepared = report->prepared;
    view->prepared_foreign = report->prepared_foreign;
    view->prepared_slots = report->prepared_slots;
    view->oldest_prepared_us = report->oldest_prepared_us;
    view->working = (uint32_t)participant->working;
    view->unapplied = (uint32_t)participant->unapplied;
    view->held = report->held;
    view->n_held = report->held_count;
    view->operations = report->operations;
    view->n_operations = report->operation_count;
    view->listen = text_or_empty(report->listen);
    view->terminating = report->terminating;
    view->minority = report->minority;
    view->executing = (uint32_t)participant->tries;
    return view;
}

/* What it holds and offers is left out when it alone would fill the answer. */
static size_t participant_size(const struct draft *draft, Wire__ParticipantView *view)
{
    size_t size = wire__participant_view__get_packed_size(view) + 8;
    if (size <= LIMIT_MESSAGE_BYTES / 2 || draft->bytes + size <= LIMIT_MESSAGE_BYTES)
        return size;
    view->n_operations = view->n_held = 0;
    return wire__participant_view__get_packed_size(view) + 8;
}

static void answer_participants(struct draft *draft, const Wire__Query *query)
{
    struct participants *participants = &draft->server->participants;
    Wire__Answer *answer = &draft->answer;
    answer->participants = draft_take(draft, sizeof(void *) * (participants->map.count + 1));
    for (struct list *at = participants->all.next; at != &participants->all; at = at->next) {
        const struct participant *participant = CONTAINER(at, struct participant, all);
        if (query->participant[0] && strcmp(query->participant, participant->name) != 0)
            continue;
        Wire__ParticipantView *view = view_participant(draft, participant);
        size_t size = participant_size(draft, view);
        if (draft->bytes + size > LIMIT_MESSAGE_BYTES) {
            answer->more++;
            continue;
        }
        draft->bytes += size;
        answer->participants[answer->n_participants++] = view;
    }
}

static void answer_coordinator(struct draft *draft)
{
    const struct server *server = draft->server;
    Wire__CoordinatorView *view = draft_take(draft, sizeof(*view));
    wire__coordinator_view__init(view);
    view->cluster = server->cluster;
    view->name = server->coordinator;
    view->epoch = server->recovery.epoch;
    view->software = (char *)"troth " TROTH_VERSION;
    view->started_us = server->started_us;
    view->draining = server->draining;
    view->open = server->opens.map.count;
    view->undecided = server_undecided(server);
    view->unapplied = server->unapplied;
    view->hazards = server->hazards;
    view->committed = server->committed;
    view->aborted = server->aborted;
    view->keys = server->keys.map.count - server->keys.step_count;
    view->journal_bytes = server->facts.journal_bytes;
    view->journal_segments = server->facts.journal_segments;
    view->journal_free_bytes = server->facts.journal_free_bytes;
    view->low_water_epoch = server->recovery.low_water.epoch;
    view->low_water_seq = server->recovery.low_water.seq;
    view->heuristics = server->heuristics.count;
    view->mixed = heuristics_mixed(server);
    sagas_view_coordinator(draft, view);
    draft->answer.coordinator = view;
}

void server_answer_query(struct server *server, const Wire__Query *query, struct draft *draft)
{
    *draft = (struct draft){.server = server, .bytes = ANSWER_OVERHEAD_BYTES};
    wire__answer__init(&draft->answer);
    arena_init(&draft->arena, ARENA_BYTES);
    draft->answer.request = query->request;
    switch (query->what) {
    case WIRE__WHAT__TRANSACTIONS:
        views_transactions(draft, query);
        break;
    case WIRE__WHAT__TRANSACTION:
        views_transaction(draft, query);
        break;
    case WIRE__WHAT__PARTICIPANTS:
        answer_participants(draft, query);
        break;
    case WIRE__WHAT__COORDINATOR:
        answer_coordinator(draft);
        break;
    case WIRE__WHAT__SAGAS:
        sagas_view_list(draft, query);
        break;
    case WIRE__WHAT__SAGA:
        sagas_view_one(draft, query);
        break;
    case WIRE__WHAT__OFFERS:
        sagas_view_offers(draft, query);
        break;
    case WIRE__WHAT__METRICS:
        metrics_view(draft);
        break;
    default:
        draft_fail(draft, "bad_request", "this version does not know the question", "");
        break;
    }
}

void draft_fini(struct draft *draft)
{
    arena_fini(&draft->arena);
}

static bool asks_databases(const struct guest *guest, const Wire__Query *query)
{
    return !guest->participant &&
           (query->what == WIRE__WHAT__EVIDENCE || query->what == WIRE__WHAT__PREPARED ||
            query->what == WIRE__WHAT__DIAGNOSIS);
}

void server_query(struct server *server, struct guest *guest, const Wire__Query *query)
{
    if (asks_databases(guest, query)) {
        inquiry_query(server, guest, query);
        return;
    }
    struct draft draft;
    Wire__Message message = WIRE__MESSAGE__INIT;
    server_answer_query(server, query, &draft);
    message.body_case = WIRE__MESSAGE__BODY_ANSWER;
    message.answer = &draft.answer;
    /* Refused when too much waits for this client already: it does not read its answers. */
    if (!peer_send(guest->peer, &message, false))
        host_log(&server->host, LOG_WARNING, "an answer to %s was dropped", peer_name(guest->peer));
    draft_fini(&draft);
}
