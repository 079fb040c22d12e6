#include "cli/saga_tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/saga.h"
#include "cli/saga_fold.h"
#include "cli/table.h"
#include "cli/wrap.h"
#include "core/check.h"
#include "core/limits.h"

enum {
    MARGIN = 2,        /* for the mark of what needs an operator */
    GAP = 2,           /* between columns */
    NAME_COLUMNS = 30, /* a wider name has a line of its own */
    TRIES_COLUMNS = 5,
    TIME_COLUMNS = 5,
    DEPTH = 2 * LIMIT_SAGA_DEPTH + 2, /* a branch of several steps is a block, too */
};

/* The widths of the first two columns, and where the others begin. */
struct layout {
    int name, state, what;
};

/* What is drawn. */
struct picture {
    const Wire__SagaView *saga;
    const struct saga_others *others;
    int64_t now_us;
    struct fold fold;
    struct layout layout;
};

/* What is drawn before the name of a step, and before the lines below it. */
struct rails {
    char branch[DEPTH * 10], below[DEPTH * 10];
};

static const char *state_word(const Wire__SagaView *saga, const char *state)
{
    return saga_goes_back(saga) && strcmp(state, "waiting") == 0 ? "not begun" : state;
}

/* "parallel#4[3]" is told from others by its number, which says nothing to a person. The steps of
 * an item of a for_each: "[3]". */
static char *step_name(const Wire__SagaStepView *step)
{
    const char *hash = strchr(step->path, '#');
    if (!hash)
        return escaped(step->path);
    const char *items = hash + strcspn(hash, "[");
    bool item = *items && strcmp(step->type, "steps") == 0;
    char *name = xasprintf("%.*s%s", item ? 0 : (int)(hash - step->path), step->path, items);
    char *safe = escaped(name);
    free(name);
    return safe;
}

static char *with_thousands(size_t number)
{
    return number < 1000 ? xasprintf("%zu", number)
                         : xasprintf("%zu,%03zu", number / 1000, number % 1000);
}

/* "… 9,996 items done". */
static char *folded_name(const Wire__SagaView *saga, const struct fold_line *line)
{
    char *count = with_thousands(line->count);
    char *name = xasprintf("\u2026 %s item%s %s", count, line->count == 1 ? "" : "s",
                           state_word(saga, line->state));
    free(count);
    return name;
}

static char *line_name(const Wire__SagaView *saga, const struct fold_line *line)
{
    return line->step ? step_name(line->step) : folded_name(saga, line);
}

/* ---- rails -------------------------------------------------------------------------------- */

/* Whether a line at this depth follows before its parent's end. */
static bool has_sibling(const struct fold *fold, size_t at, unsigned depth)
{
    for (size_t i = at + 1; i < fold->count && fold->lines[i].depth >= depth; i++) {
        if (fold->lines[i].depth == depth)
            return true;
    }
    return false;
}

static void draw_rails(struct rails *rails, const struct fold *fold, size_t at)
{
    unsigned depth = fold->lines[at].depth < DEPTH ? fold->lines[at].depth : DEPTH;
    rails->branch[0] = rails->below[0] = '\0';
    for (unsigned i = 1; i <= depth; i++) {
        bool more = has_sibling(fold, at, i);
        strcat(rails->branch, i < depth ? more ? "\u2502  " : "   "
                              : more    ? "\u251c\u2500 "
                                        : "\u2514\u2500 ");
        strcat(rails->below, more ? "\u2502  " : "   ");
    }
    /* What is inside the step hangs on its name. */
    if (at + 1 < fold->count && fold->lines[at + 1].depth > depth)
        strcat(rails->below, "\u2502");
}

/* ---- a line ------------------------------------------------------------------------------- */

static struct layout lay_out(const Wire__SagaView *saga, const struct fold *fold)
{
    struct layout layout = {.name = 4, .state = 5};
    for (size_t i = 0; i < fold->count; i++) {
        const struct fold_line *line = &fold->lines[i];
        if (!line->step)
            continue; /* has no other columns */
        char *name = line_name(saga, line);
        int width = text_width(name) + 3 * (int)line->depth;
        int state = text_width(state_word(saga, line->step->state));
        layout.name = width > layout.name && width <= NAME_COLUMNS ? width : layout.name;
        layout.state = state > layout.state ? state : layout.state;
        free(name);
    }
    layout.what =
        MARGIN + layout.name + GAP + layout.state + GAP + TRIES_COLUMNS + GAP + TIME_COLUMNS + GAP;
    return layout;
}

/* So many columns with the rails at their left. */
static char *rail_to(const struct rails *rails, int columns)
{
    int width = MARGIN + text_width(rails->below);
    int fill = columns > width ? columns - width : 0;
    return xasprintf("%*s%s%*s", MARGIN, "", rails->below, fill, "");
}

static const char *took(time_text out, const Wire__SagaStepView *step, int64_t now_us)
{
    if (!step->begun_us || strcmp(step->state, "waiting") == 0 ||
        strcmp(step->state, "skipped") == 0)
        return "";
    return age_format(out, (step->ended_us ? step->ended_us : now_us) - step->begun_us);
}

/* "2pc orders.confirm inventory.ship (pivot) shop.c1.5.18" */
static void print_what(const Wire__SagaStepView *step, const struct layout *layout,
                       const struct rails *rails)
{
    bool pivot = strcmp(step->kind, "pivot") == 0;
    char *what = xasprintf("%s%s%s%s", step->what, pivot ? " (pivot)" : "", *step->gtrid ? " " : "",
                           step->gtrid);
    char *rail = rail_to(rails, layout->what);
    print_wrapped(stdout, what, layout->what, rail);
    free(rail);
    free(what);
}

static void print_columns(const struct picture *picture, const Wire__SagaStepView *step,
                          const struct rails *rails)
{
    time_text age;
    char *state = escaped(state_word(picture->saga, step->state)), tries[24] = "";
    if (step->tries)
        snprintf(tries, sizeof(tries), "%" PRIu32, step->tries);
    const char *time = took(age, step, picture->now_us);
    bool what = *step->what || *step->gtrid, more = what || *tries || *time;
    printf("%s%*s", state, more ? picture->layout.state - text_width(state) : 0, "");
    free(state);
    if (more)
        printf("%*s%*s", GAP + TRIES_COLUMNS, tries, GAP + TIME_COLUMNS, time);
    if (what) {
        printf("%*s", GAP, "");
        print_what(step, &picture->layout, rails);
    }
    putchar('\n');
}

static void print_note(const struct picture *picture, const struct rails *rails, const char *label,
                       const char *text)
{
    if (!*text)
        return;
    int at = MARGIN + picture->layout.name + GAP;
    char *rail = rail_to(rails, at), *line = xasprintf("%s%s", label, text);
    fputs(rail, stdout);
    print_wrapped(stdout, line, at, rail);
    putchar('\n');
    free(line);
    free(rail);
}

/* "payments.charge", "2pc orders.confirm inventory.ship": whether it calls this participant. */
static bool calls(const Wire__SagaStepView *step, const char *participant)
{
    size_t size = strlen(participant);
    for (const char *word = step->what; word; word = strchr(word, ' ')) {
        word += *word == ' ';
        if (strncmp(word, participant, size) == 0 && word[size] == '.')
            return true;
    }
    return false;
}

static bool is_under_way(const Wire__SagaStepView *step)
{
    static const char *const states[] = {"running", "retrying", "cancelling", "undoing"};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(step->state, states[i]) == 0)
            return true;
    }
    return false;
}

/* A try waits for a participant that is away until its time is up, and only then has a problem. */
static void print_away(const struct picture *picture, const Wire__SagaStepView *step,
                       const struct rails *rails)
{
    const Wire__Answer *answer = picture->others->participants;
    for (size_t i = 0; answer && is_under_way(step) && i < answer->n_participants; i++) {
        const Wire__ParticipantView *view = answer->participants[i];
        if ((view->connected && view->database_up) || !calls(step, view->name))
            continue;
        print_note(picture, rails, view->name,
                   view->connected ? ": its database is down" : " is not connected");
    }
}

/* A saga that is a step has its own operator's trouble, which it goes on with by itself. */
static void print_needing(const struct picture *picture, const Wire__SagaStepView *step,
                          const struct rails *rails)
{
    const Wire__Answer *answer = picture->others->needing;
    for (size_t i = 0; answer && *step->gtrid && i < answer->n_sagas; i++) {
        if (strcmp(answer->sagas[i]->id, step->gtrid) == 0)
            print_note(picture, rails, "needs an operator: troth saga show ", step->gtrid);
    }
}

/* What is known of a try that went wrong, and when the next one is. */
static void print_notes(const struct picture *picture, const Wire__SagaStepView *step,
                        const struct rails *rails)
{
    time_text age;
    if (problem_is_set(step->problem)) {
        char *line = problem_line(step->problem);
        print_note(picture, rails, "", line);
        print_note(picture, rails, "detail: ", step->problem->detail);
        print_note(picture, rails, "hint: ", step->problem->hint);
        free(line);
    }
    print_away(picture, step, rails);
    print_needing(picture, step, rails);
    bool wait = strcmp(step->type, "wait") == 0;
    bool signal = strncmp(step->what, "signal ", 7) == 0;
    if (step->next_us > picture->now_us)
        print_note(picture, rails,
                   !wait    ? "next try in "
                   : signal ? "at the latest in "
                            : "in ",
                   age_format(age, step->next_us - picture->now_us));
}

static void print_line(const struct picture *picture, size_t at)
{
    const struct fold_line *line = &picture->fold.lines[at];
    const int columns = picture->layout.name;
    struct rails rails;
    draw_rails(&rails, &picture->fold, at);
    char *name = line_name(picture->saga, line);
    int width = text_width(rails.branch) + text_width(name);
    printf("%-*s%s%s", MARGIN, line->step && line->step->needs_operator ? "!" : "", rails.branch,
           name);
    free(name);
    if (!line->step) {
        putchar('\n');
        return;
    }
    if (width > columns) {
        char *rail = rail_to(&rails, MARGIN + columns + GAP);
        printf("\n%s", rail);
        free(rail);
    } else {
        printf("%*s", columns + GAP - width, "");
    }
    print_columns(picture, line->step, &rails);
    print_notes(picture, line->step, &rails);
}

void print_saga_tree(const Wire__SagaView *saga, const struct saga_others *others, bool all_items,
                     int64_t now_us)
{
    struct picture picture = {.saga = saga, .others = others, .now_us = now_us};
    fold_steps(&picture.fold, saga, all_items);
    picture.layout = lay_out(saga, &picture.fold);
    if (picture.fold.count)
        printf("%*s%-*s%*s%-*s%*s%*s%*sWHAT\n", MARGIN, "", picture.layout.name, "STEP", GAP, "",
               picture.layout.state, "STATE", GAP + TRIES_COLUMNS, "TRIES", GAP + TIME_COLUMNS,
               "TIME", GAP, "");
    for (size_t i = 0; i < picture.fold.count; i++)
        print_line(&picture, i);
    fold_fini(&picture.fold);
}
