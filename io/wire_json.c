#include "io/wire_json.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

const char *time_format(time_text out, int64_t us)
{
    time_t seconds = us / 1000000;
    struct tm parts;
    if (us <= 0 || us / 1000000 > 253402300799ll || !gmtime_r(&seconds, &parts)) {
        snprintf(out, sizeof(time_text), "-");
        return out;
    }
    size_t size = strftime(out, sizeof(time_text), "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(out + size, sizeof(time_text) - size, ".%03dZ", (int)(us / 1000 % 1000));
    return out;
}

bool problem_is_set(const Wire__Problem *problem)
{
    return problem && (*problem->code || *problem->message || *problem->participant);
}

void json_time(struct json_writer *writer, const char *name, int64_t us)
{
    time_text text;
    json_name(writer, name);
    json_string(writer, us > 0 ? time_format(text, us) : NULL);
}

void json_problem(struct json_writer *writer, const Wire__Problem *problem)
{
    if (!problem_is_set(problem)) {
        json_string(writer, NULL);
        return;
    }
    const char *const facts[][2] = {
        {"participant", problem->participant},
        {"operation", problem->operation},
        {"code", problem->code},
        {"message", problem->message},
        {"detail", problem->detail},
        {"hint", problem->hint},
    };
    json_open(writer, '{');
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        json_name(writer, facts[i][0]);
        json_string(writer, facts[i][1]);
    }
    json_close(writer, '}');
}

void json_value(struct json_writer *writer, const char *json)
{
    struct json *value = *json ? json_parse(json, strlen(json), NULL) : NULL;
    json_raw(writer, value ? json : "null");
    json_free(value);
}

static void json_text(struct json_writer *writer, const char *name, const char *text)
{
    json_name(writer, name);
    json_string(writer, *text ? text : NULL);
}

void json_saga_row(struct json_writer *writer, const Wire__SagaView *saga)
{
    json_text(writer, "saga", saga->id);
    json_text(writer, "name", saga->name);
    json_name(writer, "version");
    json_integer(writer, saga->version);
    json_text(writer, "state", saga->state);
    json_name(writer, "needs_operator");
    json_boolean(writer, saga->needs_operator);
    json_time(writer, "begun", saga->begun_us);
    json_time(writer, "ended", saga->ended_us);
    json_time(writer, "timeout", saga->timeout_us);
    json_text(writer, "key", saga->key);
    json_text(writer, "parent", saga->parent);
    json_text(writer, "parent_step", saga->parent_step);
    json_text(writer, "next", saga->next);
    json_name(writer, "problem");
    json_problem(writer, saga->problem);
}

/* An output is cut to be looked at, and then is no JSON any more: it goes as a text. */
static void json_step(struct json_writer *writer, const Wire__SagaStepView *step)
{
    json_open(writer, '{');
    json_text(writer, "step", step->path);
    json_name(writer, "depth");
    json_unsigned(writer, step->depth);
    json_text(writer, "type", step->type);
    json_text(writer, "state", step->state);
    json_text(writer, "kind", step->kind);
    json_text(writer, "what", step->what);
    json_name(writer, "tries");
    json_unsigned(writer, step->tries);
    json_time(writer, "begun", step->begun_us);
    json_time(writer, "ended", step->ended_us);
    json_time(writer, "next", step->next_us);
    json_name(writer, "needs_operator");
    json_boolean(writer, step->needs_operator);
    json_text(writer, "gtrid", step->gtrid);
    json_text(writer, "output", step->output);
    json_name(writer, "problem");
    json_problem(writer, step->problem);
    json_close(writer, '}');
}

void json_saga_rest(struct json_writer *writer, const Wire__SagaView *saga)
{
    json_name(writer, "input");
    json_value(writer, saga->input);
    json_name(writer, "output");
    json_value(writer, saga->output);
    json_name(writer, "steps");
    json_open(writer, '[');
    for (size_t i = 0; i < saga->n_steps; i++)
        json_step(writer, saga->steps[i]);
    json_close(writer, ']');
}
