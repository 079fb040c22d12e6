#include "cli/saga_offers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/saga.h"

/* For a coordinator that only the environment names: lint is not to be slow where there is none. */
#define ANSWER_TIMEOUT_US (1000 * 1000ull)

static bool has_offer(const Wire__ParticipantView *view, const char *operation)
{
    for (size_t i = 0; i < view->n_offers; i++) {
        if (strcmp(view->offers[i]->operation, operation) == 0)
            return true;
    }
    return false;
}

/* Who can't reach its database has told nothing yet; and of an agent of many operations, or an
 * older one, some may be known by name only. */
static void add_participant(struct catalogue *catalogue, const Wire__ParticipantView *view)
{
    struct catalogue_participant *participant = catalogue_add(catalogue, view->name);
    participant->partial = view->n_operations == 0 && view->n_offers == 0;
    for (size_t i = 0; i < view->n_offers; i++) {
        const Wire__Offer *offer = view->offers[i];
        struct catalogue_operation *operation =
            catalogue_add_operation(participant, offer->operation, offer->read_only);
        for (size_t j = 0; j < offer->n_parameters && j < offer->n_types; j++)
            catalogue_add_parameter(operation, offer->parameters[j], offer->types[j]);
    }
    for (size_t i = 0; i < view->n_operations; i++) {
        if (!has_offer(view, view->operations[i]))
            catalogue_add_operation(participant, view->operations[i], false)->partial = true;
    }
}

/* The participants after `from`; *more: how many are left. */
static bool ask_page(struct connection *connection, struct catalogue *catalogue, char *from,
                     bool *more, struct error *error)
{
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__OFFERS;
    query.from = from;
    Wire__Answer *answer = connection_query(connection, &query, error);
    if (!answer)
        return false;
    bool good = !problem_is_set(answer->problem);
    if (!good) {
        char *line = problem_line(answer->problem);
        error_set(error, ERROR_UNREACHABLE, "what participants offer is not told: %s", line);
        free(line);
    }
    for (size_t i = 0; good && i < answer->n_participants; i++) {
        add_participant(catalogue, answer->participants[i]);
        snprintf(from, LIMIT_NAME_BYTES + 1, "%s", answer->participants[i]->name);
    }
    *more = good && answer->more > 0 && answer->n_participants > 0;
    wire__answer__free_unpacked(answer, NULL);
    return good;
}

bool saga_offers(const struct options *options, struct catalogue *catalogue, struct error *error)
{
    struct options soon = *options;
    if (!soon.timeout_us && soon.coordinator_from == NAMED_BY_VARIABLE)
        soon.timeout_us = ANSWER_TIMEOUT_US;
    struct connection *connection = saga_connect(&soon, error);
    if (!connection)
        return false;
    char from[LIMIT_NAME_BYTES + 1] = "";
    bool more = true, good = true;
    catalogue->partial =
        true; /* who has not connected since the coordinator's start is not known */
    while (good && more)
        good = ask_page(connection, catalogue, from, &more, error);
    connection_close(connection);
    return good;
}
