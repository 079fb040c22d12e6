#include "saga/catalogue.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"

void catalogue_fini(struct catalogue *catalogue)
{
    for (int i = 0; i < catalogue->participant_count; i++) {
        struct catalogue_participant *participant = &catalogue->participants[i];
        for (int j = 0; j < participant->operation_count; j++) {
            struct catalogue_operation *operation = &participant->operations[j];
            for (int k = 0; k < operation->parameter_count; k++) {
                free(operation->parameters[k].name);
                free(operation->parameters[k].type);
            }
            free(operation->parameters);
            free(operation->name);
        }
        free(participant->operations);
        free(participant->name);
    }
    free(catalogue->participants);
    *catalogue = (struct catalogue){0};
}

/* One more at the end, zeroed. */
#define APPEND(array, count)                                                                       \
    ((array) = xrealloc((array), ((size_t)(count) + 1) * sizeof((array)[0])),                      \
     memset((array) + (count), 0, sizeof((array)[0])), &(array)[(count)++])

struct catalogue_participant *catalogue_add(struct catalogue *catalogue, const char *name)
{
    for (int i = 0; i < catalogue->participant_count; i++) {
        if (strcmp(catalogue->participants[i].name, name) == 0)
            return &catalogue->participants[i];
    }
    struct catalogue_participant *participant =
        APPEND(catalogue->participants, catalogue->participant_count);
    participant->name = xstrdup(name);
    return participant;
}

struct catalogue_operation *catalogue_add_operation(struct catalogue_participant *participant,
                                                    const char *name, bool read_only)
{
    struct catalogue_operation *operation =
        APPEND(participant->operations, participant->operation_count);
    operation->name = xstrdup(name);
    operation->read_only = read_only;
    return operation;
}

void catalogue_add_parameter(struct catalogue_operation *operation, const char *name,
                             const char *type)
{
    struct catalogue_parameter *parameter =
        APPEND(operation->parameters, operation->parameter_count);
    parameter->name = xstrdup(name);
    parameter->type = xstrdup(type);
}

const struct catalogue_participant *catalogue_find(const struct catalogue *catalogue,
                                                   const char *name)
{
    for (int i = 0; i < catalogue->participant_count; i++) {
        if (strcmp(catalogue->participants[i].name, name) == 0)
            return &catalogue->participants[i];
    }
    return NULL;
}

const struct catalogue_operation *
catalogue_find_operation(const struct catalogue_participant *participant, const char *name)
{
    for (int i = 0; i < participant->operation_count; i++) {
        if (strcmp(participant->operations[i].name, name) == 0)
            return &participant->operations[i];
    }
    return NULL;
}

enum { NAMES = 256 }; /* that are compared; more are not looked at for a hint */

const char *catalogue_near(const struct catalogue *catalogue, const char *name)
{
    const char *names[NAMES];
    int count = 0;
    for (; count < catalogue->participant_count && count < NAMES; count++)
        names[count] = catalogue->participants[count].name;
    return error_nearest(name, names, count);
}

const char *catalogue_near_operation(const struct catalogue_participant *participant,
                                     const char *name)
{
    const char *names[NAMES];
    int count = 0;
    for (; count < participant->operation_count && count < NAMES; count++)
        names[count] = participant->operations[count].name;
    return error_nearest(name, names, count);
}
