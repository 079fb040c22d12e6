#include "core/problem.h"

#include <string.h>

bool problem_is_passing(const char *code)
{
    /* Ours. */
    static const char *const words[] = {
        "busy",         "connection_lost", "database_down", "deadline",  "draining", "fenced",
        "session_lost", "not_connected",   "no_majority",   "overruled", "unknown"};
    /* Connection, insufficient resources, object not in the state that is needed (a lock), operator
     * intervention, system error, rollback for serialization or a deadlock. */
    static const char *const classes[] = {"08", "53", "55", "57", "58", "40"};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (strcmp(code, words[i]) == 0)
            return true;
    }
    for (size_t i = 0; strlen(code) == 5 && i < sizeof(classes) / sizeof(*classes); i++) {
        if (strncmp(code, classes[i], 2) == 0)
            return true;
    }
    return false;
}
