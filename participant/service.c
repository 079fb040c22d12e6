/* A service: its configuration, what it offers, and its life. */
#include "participant/service.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "client/library.h"
#include "core/check.h"
#include "io/crash.h"
#include "io/log.h"
#include "participant/host.h"

struct troth_service {
    struct config config; /* with its operations */
    struct offer **offers;
    int offer_count;
    struct pg_handlers handlers;
    int stop_fd; /* an eventfd: from a signal's handler nothing else is allowed */
    bool running;
};

/* ---- results ------------------------------------------------------------------------------- */

static enum troth_status give(struct troth_result *wanted, enum troth_status status,
                              const char *code, const struct error *error)
{
    struct troth_result made = {0};
    result_begin(&made);
    if (status != TROTH_OK) {
        result_fail(&made, status, code, "%s", error->message);
        result_detail(&made, "%s", error->detail);
        result_hint(&made, "%s", error->hint);
    }
    return result_give(wanted, &made);
}

/* ---- life ---------------------------------------------------------------------------------- */

struct troth_service *troth_service_open(const char *config, struct troth_result *result)
{
    struct error error = {0};
    struct config loaded;
    crash_setup();
    if (!config_load(config, CONFIG_SERVICE, &loaded, &error)) {
        give(result, TROTH_REFUSED, "bad_config", &error);
        return NULL;
    }
    struct troth_service *service = xcalloc(1, sizeof(*service));
    service->config = loaded;
    service->handlers = (struct pg_handlers){.self = service, .call = service_call};
    service->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(service->stop_fd >= 0);
    give(result, TROTH_OK, "", NULL);
    return service;
}

void troth_service_close(struct troth_service *service)
{
    if (!service)
        return;
    CHECK(!service->running);
    for (int i = 0; i < service->offer_count; i++)
        free(service->offers[i]);
    free(service->offers);
    config_fini(&service->config);
    close(service->stop_fd);
    free(service);
}

enum troth_status troth_service_run(struct troth_service *service, struct troth_result *result)
{
    struct error error = {0};
    struct host_config given = {.config = &service->config,
                                .program = "troth-service",
                                .calls = &service->handlers,
                                .stop_fd = service->stop_fd};
    log_setup(given.program, service->config.log.format, service->config.log.level);
    struct host *host = host_new(&given, &error);
    if (!host)
        return give(result, TROTH_REFUSED, "not_started", &error);
    service->running = true;
    bool stopped = host_run(host);
    host_free(host);
    service->running = false;
    if (stopped)
        return give(result, TROTH_OK, "", NULL);
    error_set(&error, ERROR_REFUSED, "another process took over the name %s",
              service->config.participant);
    error_hint(&error, "only one process may run for a participant");
    return give(result, TROTH_REFUSED, "taken_over", &error);
}

/* Once it was called, it stays so: a run that begins later ends at once. */
void troth_service_stop(struct troth_service *service)
{
    static const uint64_t one = 1;
    ssize_t size = write(service->stop_fd, &one, sizeof(one));
    (void)size; /* it is full: readable then, which is all that is wanted */
}

/* ---- operations ---------------------------------------------------------------------------- */

/* "order_id text": a name and a type. */
static bool add_parameter(struct operation *operation, const char *text, size_t size,
                          struct error *error)
{
    while (size > 0 && isspace((unsigned char)*text))
        text++, size--;
    while (size > 0 && isspace((unsigned char)text[size - 1]))
        size--;
    size_t name_size = 0;
    while (name_size < size && !isspace((unsigned char)text[name_size]))
        name_size++;
    size_t type_at = name_size;
    while (type_at < size && isspace((unsigned char)text[type_at]))
        type_at++;
    if (type_at == size) {
        error_set(error, ERROR_USAGE, "parameter \"%.*s\" is not a name and a type", (int)size,
                  text);
        return error_hint(error, "write them as \"order_id text, amount numeric\"");
    }
    char *name = xstrndup(text, name_size), *type = xstrndup(text + type_at, size - type_at);
    bool added = operation_parameter_add(operation, name, type, error);
    free(name);
    free(type);
    return added;
}

static bool add_parameters(struct operation *operation, const char *text, struct error *error)
{
    if (!text || text[strspn(text, " \t\n")] == '\0')
        return true;
    for (;;) {
        size_t size = strcspn(text, ",");
        if (!add_parameter(operation, text, size, error))
            return false;
        if (text[size] == '\0')
            return true;
        text += size + 1;
    }
}

static bool add(struct operation_set *set, const struct troth_operation *wanted,
                const struct offer *offer, struct error *error)
{
    struct operation *operation =
        operation_add(set, wanted->name ? wanted->name : "", wanted->read_only, error);
    if (!operation || !add_parameters(operation, wanted->parameters, error))
        return false;
    operation_handler_set(operation, offer);
    return operation_check(operation, error);
}

enum troth_status troth_service_offer(struct troth_service *service,
                                      const struct troth_operation *operation,
                                      struct troth_result *result)
{
    struct error error = {0};
    struct offer *offer = xcalloc(1, sizeof(*offer));
    *offer = (struct offer){operation->handler, operation->self};
    /* First on its own, as a set can't take back what it was given. */
    struct operation_set trial = {0};
    bool good = !service->running && operation->handler;
    if (service->running)
        error_set(&error, ERROR_USAGE, "the service runs already");
    else if (!operation->handler)
        error_set(&error, ERROR_USAGE, "an operation needs a handler");
    else if (operation->name && operation_find(&service->config.operations, operation->name))
        good = error_set(&error, ERROR_USAGE, "operation %s is offered twice", operation->name);
    good = good && add(&trial, operation, offer, &error);
    operation_set_fini(&trial);
    if (!good) {
        free(offer);
        return give(result, TROTH_REFUSED, "bad_operation", &error);
    }
    CHECK(add(&service->config.operations, operation, offer, NULL));
    service->offers =
        xrealloc(service->offers, (size_t)(service->offer_count + 1) * sizeof(*service->offers));
    service->offers[service->offer_count++] = offer;
    return give(result, TROTH_OK, "", NULL);
}
