/* The sessions of a handle with its coordinators: in the loop's thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/library.h"
#include "core/check.h"
#include "core/limits.h"

/* For so long new work waits for a coordinator that comes first, before it goes to a later one. */
#define HOPE_US (300 * 1000)
/* nanomsg hands the last frame to the kernel meanwhile. */
enum { LINGER_MS = 100 };

static void say_reason(struct endpoint *endpoint, const char *reason, const char *hint)
{
    snprintf(endpoint->reason, sizeof(endpoint->reason), "%s%s%s", reason, *hint ? "; " : "", hint);
}

static void on_up(void *self)
{
    struct endpoint *endpoint = self;
    endpoint->sessions++;
    endpoint->troth->routes_changed = true;
    endpoint->reason[0] = '\0';
    if (client_at_participant(endpoint->client))
        say_reason(endpoint, "it is a participant's `listen`, not a coordinator's", "");
}

static void on_down(void *self, const char *reason)
{
    struct endpoint *endpoint = self;
    say_reason(endpoint, reason, "");
    endpoint->hoped_until_us = library_now_us() + HOPE_US;
    endpoint->troth->routes_changed = true;
    requests_lost(endpoint);
}

static void on_refused(void *self, const char *reason, const char *hint)
{
    say_reason(self, reason, hint);
}

static void on_outcome(void *self, const Wire__Outcome *outcome)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_OUTCOME;
    message.outcome = (Wire__Outcome *)outcome; /* only read */
    requests_answered(self, outcome->request, &message);
}

static void on_answer(void *self, const Wire__Answer *answer)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_ANSWER;
    message.answer = (Wire__Answer *)answer;
    requests_answered(self, answer->request, &message);
}

static void on_saga_outcome(void *self, const Wire__SagaOutcome *outcome)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_SAGA_OUTCOME;
    message.saga_outcome = (Wire__SagaOutcome *)outcome;
    requests_answered(self, outcome->request, &message);
}

static void on_progress(void *self, const Wire__Progress *progress)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_PROGRESS;
    message.progress = (Wire__Progress *)progress;
    requests_answered(self, progress->request, &message);
}

static void on_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    struct endpoint *endpoint = self;
    (void)route;
    client_frame(endpoint->client, frame, size);
}

static void on_broken(void *self)
{
    struct endpoint *endpoint = self;
    client_broken(endpoint->client);
}

bool endpoint_usable(const struct endpoint *endpoint)
{
    return client_connected(endpoint->client) && !client_at_participant(endpoint->client);
}

static bool endpoint_open(struct troth *troth, struct endpoint *endpoint, struct error *error)
{
    struct nano_events link = {endpoint, on_frame, on_broken};
    endpoint->nano =
        nano_connect(troth->loop, endpoint->address, LIMIT_CLIENT_FRAME_BYTES, &link, error);
    if (!endpoint->nano)
        return false;
    struct client_events events = {.self = endpoint,
                                   .up = on_up,
                                   .down = on_down,
                                   .refused = on_refused,
                                   .outcome = on_outcome,
                                   .answer = on_answer,
                                   .saga_outcome = on_saga_outcome,
                                   .progress = on_progress};
    endpoint->client =
        client_new(NULL, troth->name, loop_host(troth->loop), nano_link(endpoint->nano), &events);
    return true;
}

/* The next of the addresses, without the spaces around it; NULL: that was the last. */
static char *next_address(const char **at)
{
    if (!*at)
        return NULL;
    const char *begin = *at + strspn(*at, " "), *end = begin + strcspn(begin, ",");
    *at = *end ? end + 1 : NULL;
    while (end > begin && end[-1] == ' ')
        end--;
    return xstrndup(begin, (size_t)(end - begin));
}

bool endpoints_open(struct troth *troth, const char *addresses, struct troth_result *result)
{
    struct error error = {0};
    const char *at = addresses;
    for (char *address; (address = next_address(&at)) != NULL;) {
        struct endpoint *endpoint = &troth->endpoints[troth->endpoint_count];
        if (troth->endpoint_count == ENDPOINTS_MAX) {
            result_fail(result, TROTH_REFUSED, "bad_address", "more than %d coordinators",
                        ENDPOINTS_MAX);
            free(address);
            return false;
        }
        *endpoint = (struct endpoint){.troth = troth,
                                      .index = troth->endpoint_count,
                                      .address = address,
                                      .hoped_until_us = library_now_us() + HOPE_US};
        list_init(&endpoint->sent);
        if (!endpoint_open(troth, endpoint, &error)) {
            free(address);
            result_fail(result, TROTH_REFUSED, "bad_address", "%s", error.message);
            result_detail(result, "%s", error.detail);
            result_hint(result, "%s", error.hint);
            return false;
        }
        troth->endpoint_count++;
    }
    return true;
}

/* After the last turn of the loop; loop_free closes what nano_close has left to it. */
void endpoints_close(struct troth *troth)
{
    for (int i = 0; i < troth->endpoint_count; i++) {
        struct endpoint *endpoint = &troth->endpoints[i];
        client_free(endpoint->client);
        nano_close(endpoint->nano, LINGER_MS);
        free(endpoint->address);
    }
}
