#include "saga/keys.h"

#include <stddef.h>
#include <string.h>

static const char *const saga_map[] = {"saga",        "version", "description", "input", "timeout",
                                       "alert_after", "output",  "steps",       NULL};
static const char *const input_map[] = {"type", "default", "description", NULL};
static const char *const step_map[] = {"name",       "when",   "call",        "with",    "output",
                                       "compensate", "kind",   "retry",       "timeout", "reason",
                                       "parallel",   "choose", "for_each",    "steps",   "saga",
                                       "input",      "wait",   "transaction", NULL};
static const char *const alternative_map[] = {"when", "steps", "otherwise", NULL};
static const char *const transaction_map[] = {"protocol", "branches", NULL};
static const char *const branch_map[] = {"call", "with", NULL};
static const char *const retry_map[] = {"attempts", "initial", "factor", "max", "jitter", NULL};
static const char *const wait_map[] = {"for", "until", "signal", "timeout", "otherwise", NULL};

const char *const *const saga_keys[SAGA_MAPS] = {
    [SAGA_MAP_SAGA] = saga_map,
    [SAGA_MAP_INPUT] = input_map,
    [SAGA_MAP_STEP] = step_map,
    [SAGA_MAP_ALTERNATIVE] = alternative_map,
    [SAGA_MAP_TRANSACTION] = transaction_map,
    [SAGA_MAP_BRANCH] = branch_map,
    [SAGA_MAP_COMPENSATE] = branch_map,
    [SAGA_MAP_RETRY] = retry_map,
    [SAGA_MAP_WAIT] = wait_map,
};

const char *const saga_map_words[SAGA_MAPS] = {
    [SAGA_MAP_SAGA] = "saga",
    [SAGA_MAP_INPUT] = "input",
    [SAGA_MAP_STEP] = "step",
    [SAGA_MAP_ALTERNATIVE] = "alternative",
    [SAGA_MAP_TRANSACTION] = "transaction",
    [SAGA_MAP_BRANCH] = "branch",
    [SAGA_MAP_COMPENSATE] = "compensate",
    [SAGA_MAP_RETRY] = "retry",
    [SAGA_MAP_WAIT] = "wait",
};

const char *const saga_protocol_words[] = {"2pc", "3pc", NULL};
const char *const saga_otherwise_words[] = {"fail", "continue", NULL};

bool saga_key_fits(enum saga_type type, const char *key)
{
    static const char *const fitting[][12] = {
        [SAGA_SEQUENCE] = {"when", "steps"},
        [SAGA_CALL] = {"name", "when", "call", "with", "output", "compensate", "kind", "retry",
                       "timeout", "reason"},
        [SAGA_TRANSACTION] = {"name", "when", "transaction", "output", "compensate", "kind",
                              "retry", "timeout", "reason"},
        [SAGA_SAGA] = {"name", "when", "saga", "input", "output", "kind", "retry", "timeout",
                       "reason"},
        [SAGA_WAIT] = {"name", "when", "wait", "output"},
        [SAGA_PARALLEL] = {"name", "when", "parallel", "output"},
        [SAGA_CHOOSE] = {"name", "when", "choose", "output"},
        [SAGA_FOR_EACH] = {"name", "when", "for_each", "steps", "parallel", "output"},
    };
    for (int i = 0; i < 12 && fitting[type][i]; i++) {
        if (strcmp(fitting[type][i], key) == 0)
            return true;
    }
    return false;
}
