#include "tests/real/support/saga_start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "tests/real/support/wait.h"

/* ---- starts -------------------------------------------------------------------------------- */

void saga_start_begin(struct shop *shop, struct saga_start *start)
{
    const char *words[16] = {"--timeout", start->timeout ? start->timeout : "20s",
                             "saga",      "start",
                             start->name, "--input",
                             start->input};
    int count = 7;
    if (start->key) {
        words[count++] = "--key";
        words[count++] = start->key;
    }
    if (start->wait)
        words[count++] = "--wait";
    words[count] = NULL;
    start->pid = shop_command_begin(shop, words, &start->output);
}

bool saga_start_ended(const struct saga_start *start)
{
    return shop_command_ended(start->pid);
}

/* "completed shop.c1.17.4: why" */
static void read_id(saga_id id, const char *output)
{
    static const char *const words[] = {"started ", "running ", "completed ", "compensated "};
    id[0] = '\0';
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t size = strlen(words[i]);
        if (strncmp(output, words[i], size) == 0)
            snprintf(id, sizeof(saga_id), "%.*s", (int)strcspn(output + size, ":\n"),
                     output + size);
    }
}

static void read_why(struct saga_start *start, const char *output)
{
    size_t line = strcspn(output, "\n");
    const char *why = memmem(output, line, ": ", 2);
    start->why[0] = '\0';
    if (why)
        snprintf(start->why, sizeof(start->why), "%.*s", (int)(line - (size_t)(why - output)) - 2,
                 why + 2);
}

int saga_start_end(struct saga_start *start, saga_id id)
{
    struct said said = shop_command_end(start->pid, start->output);
    if (said.code == SAGA_SAID_MISTAKE)
        fail_msg("troth saga start %s: %s", start->name, said.output);
    if (id)
        read_id(id, said.output);
    read_why(start, said.output);
    said_fini(&said);
    return said.code;
}

int saga_start(struct shop *shop, struct saga_start *start, saga_id id)
{
    saga_start_begin(shop, start);
    return saga_start_end(start, id);
}

struct asking {
    struct shop *shop;
    struct saga_start start;
    int code;
    saga_id id;
};

static bool has_certain_end(void *self)
{
    struct asking *asking = self;
    asking->code = saga_start(asking->shop, &asking->start, asking->id);
    return asking->code == SAGA_SAID_DONE || asking->code == SAGA_SAID_COMPENSATED;
}

int saga_start_until_ended(struct shop *shop, const struct saga_start *start, saga_id id)
{
    struct asking asking = {.shop = shop, .start = *start};
    CHECK(start->key);
    asking.start.wait = true;
    asking.start.timeout = "5s";
    wait_for(has_certain_end, &asking, 60, "the saga has ended");
    if (id)
        strcpy(id, asking.id);
    return asking.code;
}

/* ---- looking ------------------------------------------------------------------------------- */

struct look {
    struct shop *shop;
    const char *id, *text;
};

static bool is_shown(void *self)
{
    const struct look *look = self;
    struct said said = shop_say(look->shop, "--timeout", "2s", "saga", "show", look->id, NULL);
    bool shown = said.code == 0 && strstr(said.output, look->text);
    said_fini(&said);
    return shown;
}

void saga_wait_shown(struct shop *shop, const char *id, const char *text)
{
    struct look look = {shop, id, text};
    char what[200];
    snprintf(what, sizeof(what), "saga %s shows \"%s\"", id, text);
    wait_for(is_shown, &look, 30, what);
}

bool saga_is_listed(struct shop *shop, const char *id, const char *option)
{
    struct said said = shop_say(shop, "--timeout", "2s", "saga", "list", option, NULL);
    bool listed = said.code == 0 && strstr(said.output, id);
    said_fini(&said);
    return listed;
}

static bool is_listed(void *self)
{
    const struct look *look = self;
    return saga_is_listed(look->shop, look->id, look->text);
}

void saga_wait_listed(struct shop *shop, const char *id, const char *option)
{
    struct look look = {shop, id, option};
    char what[200];
    snprintf(what, sizeof(what), "saga %s is listed with %s", id, option);
    wait_for(is_listed, &look, 30, what);
}

struct sending {
    struct shop *shop;
    const char *id, *name, *value;
};

static bool is_sent(void *self)
{
    const struct sending *sending = self;
    struct said said = shop_say(sending->shop, "--timeout", "2s", "saga", "signal", sending->id,
                                sending->name, sending->value, NULL);
    if (said.code == SAGA_SAID_MISTAKE)
        fail_msg("troth saga signal: %s", said.output);
    said_fini(&said);
    return said.code == SAGA_SAID_DONE || said.code == SAGA_SAID_REFUSED;
}

void saga_signal(struct shop *shop, const char *id, const char *name, const char *value)
{
    struct sending sending = {shop, id, name, value};
    wait_for(is_sent, &sending, 30, "somebody takes the signal");
}
