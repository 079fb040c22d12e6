#include "coordinator/participants.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/error.h"

enum {
    REASON_BYTES = 1024,
    DATABASE_BYTES = 20 + 1 + 10, /* a 64-bit number and an oid */
};

void participants_init(struct participants *participants)
{
    *participants = (struct participants){0};
    list_init(&participants->all);
}

static void free_texts(char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(texts[i]);
    free(texts);
}

static void free_offers(struct offer *offers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(offers[i].operation);
        free_texts(offers[i].parameters, offers[i].parameter_count);
        free_texts(offers[i].types, offers[i].parameter_count);
    }
    free(offers);
}

void participant_forget_report(struct participant *participant)
{
    struct participant_report *report = &participant->report;
    free(report->database_reason);
    free_texts(report->held, report->held_count);
    free_texts(report->operations, report->operation_count);
    free_offers(report->offers, report->offer_count);
    free(report->database);
    free(report->listen);
    *report = (struct participant_report){0};
}

void participants_fini(struct participants *participants)
{
    while (!list_empty(&participants->all)) {
        struct participant *participant =
            CONTAINER(participants->all.next, struct participant, all);
        list_remove(&participant->all);
        participant_forget_report(participant);
        free(participant->software);
        free(participant->settled);
        free(participant);
    }
    map_fini(&participants->map);
}

static bool match(const struct map_node *node, const void *name)
{
    return strcmp(CONTAINER(node, struct participant, node)->name, name) == 0;
}

struct participant *participants_find(const struct participants *participants, const char *name)
{
    struct map_node *node =
        map_find(&participants->map, hash_bytes(name, strlen(name)), match, name);
    return node ? CONTAINER(node, struct participant, node) : NULL;
}

struct participant *participants_meet(struct participants *participants, const char *name)
{
    struct participant *participant = participants_find(participants, name);
    if (participant || participants->map.count >= LIMIT_PEERS)
        return participant;
    CHECK(name_valid(name));
    participant = xcalloc(1, sizeof(*participant));
    strcpy(participant->name, name);
    list_init(&participant->unvoted);
    list_init(&participant->aborting);
    list_init(&participant->opens);
    list_init(&participant->finishes.owed);
    list_init(&participant->finishes.outstanding);
    list_init(&participant->asks.owed);
    list_init(&participant->asks.outstanding);
    list_init(&participant->tries_owed);
    list_init(&participant->tries_outstanding);
    list_init(&participant->tries_ready);
    list_append(&participants->all, &participant->all);
    map_insert(&participants->map, &participant->node, hash_bytes(name, strlen(name)));
    return participant;
}

const char *participants_nearest(const struct participants *participants, const char *typed)
{
    const char **names = xcalloc(participants->map.count, sizeof(*names));
    int count = 0;
    for (struct list *at = participants->all.next; at != &participants->all; at = at->next) {
        struct participant *participant = CONTAINER(at, struct participant, all);
        if (participant->peer)
            names[count++] = participant->name;
    }
    const char *nearest = error_nearest(typed, names, count);
    free(names);
    return nearest;
}

static char **copy_texts(char *const *texts, size_t count)
{
    char **copy = xcalloc(count, sizeof(*copy));
    for (size_t i = 0; i < count; i++)
        copy[i] = xstrdup(texts[i]);
    return copy;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int compare_offers(const void *a, const void *b)
{
    return strcmp(((const struct offer *)a)->operation, ((const struct offer *)b)->operation);
}

static void copy_offers(struct participant_report *report, const Wire__Status *status)
{
    report->offers = xcalloc(status->n_offers, sizeof(*report->offers));
    for (size_t i = 0; i < status->n_offers; i++) {
        const Wire__Offer *from = status->offers[i];
        if (from->n_parameters != from->n_types)
            continue; /* it makes no sense, and nothing depends on it */
        struct offer *offer = &report->offers[report->offer_count++];
        offer->operation = xstrdup(from->operation);
        offer->read_only = from->read_only;
        offer->parameters = copy_texts(from->parameters, from->n_parameters);
        offer->types = copy_texts(from->types, from->n_types);
        offer->parameter_count = from->n_parameters;
    }
    qsort(report->offers, report->offer_count, sizeof(*report->offers), compare_offers);
}

void participant_report(struct participant *participant, const Wire__Status *status)
{
    participant_forget_report(participant);
    struct participant_report *report = &participant->report;
    report->known = true;
    report->database_up = status->database_up;
    report->database_reason =
        xstrndup(status->database_reason, strnlen(status->database_reason, REASON_BYTES));
    report->prepared = status->prepared;
    report->prepared_foreign = status->prepared_foreign;
    report->prepared_slots = status->prepared_slots;
    report->oldest_prepared_us = status->oldest_prepared_us;
    report->held = copy_texts(status->held, status->n_held);
    report->held_count = status->n_held;
    report->operations = copy_texts(status->operations, status->n_operations);
    report->operation_count = status->n_operations;
    copy_offers(report, status);
    size_t database_size = strnlen(status->database, DATABASE_BYTES + 1);
    if (database_size > 0 && database_size <= DATABASE_BYTES)
        report->database = xstrdup(status->database);
    size_t listen_size = strnlen(status->listen, LIMIT_ADDRESS_BYTES + 1);
    if (listen_size > 0 && listen_size <= LIMIT_ADDRESS_BYTES)
        report->listen = xstrdup(status->listen);
    report->terminating = status->terminating;
    report->minority = status->minority;
    qsort(report->operations, report->operation_count, sizeof(*report->operations), compare);
}

bool participant_offers(const struct participant *participant, const char *operation)
{
    const struct participant_report *report = &participant->report;
    return report->operation_count == 0 ||
           bsearch(&operation, report->operations, report->operation_count,
                   sizeof(*report->operations), compare) != NULL;
}
