/* troth doctor: is everything well, and what to do where it is not. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/sites.h"
#include "core/check.h"

#define DISK_WARNING_BYTES (1024ull * 1024 * 1024)
#define DISK_PROBLEM_BYTES (128ull * 1024 * 1024)
#define IN_DOUBT_LONG_US   (60 * 1000 * 1000ll)
/* With a majority there, registers answer within a few round trips, and rounds that outbid each
 * other are over in a few seconds. */
#define MAJORITY_LONG_US (10 * 1000 * 1000ll)

enum { SLOTS_WARNING_PERCENT = 80, HELD_SHOWN = 5, UNDECIDED_SHOWN = 5 };

/* Info: nothing is wrong, but somebody may have wanted it otherwise. */
enum level { LEVEL_OK, LEVEL_INFO, LEVEL_WARNING, LEVEL_PROBLEM, LEVELS };
static const char *const level_words[] = {"ok", "info", "warning", "problem"};

/* What was found, printed as it comes (text) or kept as JSON. */
struct findings {
    bool as_json;
    struct json_writer json;
    struct answerer who;
    int counts[LEVELS];
    char subject[80]; /* what the next findings are about */
};

/* hint: what to do; "" when nothing is to be done. */
static void found(struct findings *findings, enum level level, const char *hint, const char *format,
                  ...) __attribute__((format(printf, 4, 5)));
static void found(struct findings *findings, enum level level, const char *hint, const char *format,
                  ...)
{
    char text[700];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    findings->counts[level]++;
    if (findings->as_json) {
        json_open(&findings->json, '{');
        json_name(&findings->json, "level");
        json_string(&findings->json, level_words[level]);
        json_name(&findings->json, "subject");
        json_string(&findings->json, findings->subject);
        json_name(&findings->json, "message");
        json_string(&findings->json, text);
        json_name(&findings->json, "hint");
        json_string(&findings->json, *hint ? hint : NULL);
        json_close(&findings->json, '}');
        return;
    }
    printf("%-8s ", level_words[level]);
    print_escaped(stdout, findings->subject);
    fputs(": ", stdout);
    print_escaped(stdout, text);
    putchar('\n');
    if (*hint) {
        fputs("         -> ", stdout);
        print_escaped(stdout, hint);
        putchar('\n');
    }
}

/* ---- the coordinator ---------------------------------------------------------------------- */

static void check_journal(struct findings *findings, const Wire__CoordinatorView *view)
{
    time_text used, left;
    if (view->journal_segments == 0)
        return; /* its coordinator keeps no files */
    snprintf(findings->subject, sizeof(findings->subject), "journal");
    bytes_format(used, view->journal_bytes);
    bytes_format(left, view->journal_free_bytes);
    enum level level = view->journal_free_bytes < DISK_PROBLEM_BYTES   ? LEVEL_PROBLEM
                       : view->journal_free_bytes < DISK_WARNING_BYTES ? LEVEL_WARNING
                                                                       : LEVEL_OK;
    found(findings, level,
          level == LEVEL_OK ? ""
                            : "free space on the file system of journal.directory: a coordinator "
                              "that can't write its journal stops",
          "%s in %" PRIu64 " segment%s, %s free", used, view->journal_segments,
          view->journal_segments == 1 ? "" : "s", left);
}

/* "place-order 1, restock 2", or as many as fit. */
static void list_definitions(const Wire__CoordinatorView *view, char *out, size_t room)
{
    size_t used = 0;
    *out = '\0';
    for (size_t i = 0; i < view->n_definitions && used < room; i++) {
        const char *name = view->definitions[i];
        if (used + strlen(name) + 40 > room) {
            snprintf(out + used, room - used, " and %zu more", view->n_definitions - i);
            return;
        }
        used += (size_t)snprintf(out + used, room - used, "%s%s", i ? ", " : "", name);
    }
}

/* A saga that nobody looks after stays half done. */
static void check_sagas(struct findings *findings, const Wire__CoordinatorView *view)
{
    char names[500];
    uint64_t waiting = view->sagas_waiting_for_operator;
    uint64_t live = view->sagas_running + view->sagas_compensating;
    if (view->n_definitions == 0 && live == 0)
        return; /* nobody uses them here */
    snprintf(findings->subject, sizeof(findings->subject), "sagas");
    list_definitions(view, names, sizeof(names));
    if (view->n_definitions)
        found(findings, LEVEL_OK, "", "new ones can be of %s", names);
    if (waiting)
        found(findings, LEVEL_PROBLEM,
              "troth saga list --needs-operator names them, and troth saga show ID what to do",
              "%" PRIu64 " of %" PRIu64 " need%s an operator", waiting, live,
              waiting == 1 ? "s" : "");
    else
        found(findings, LEVEL_OK, "", "%" PRIu64 " run%s, %" PRIu64 " %s being undone",
              view->sagas_running, view->sagas_running == 1 ? "s" : "", view->sagas_compensating,
              view->sagas_compensating == 1 ? "is" : "are");
}

static void check_coordinator(struct findings *findings, const Wire__CoordinatorView *view)
{
    time_text age;
    snprintf(findings->subject, sizeof(findings->subject), "coordinator %.32s", view->name);
    found(findings, LEVEL_OK, "", "cluster %.32s, epoch %" PRIu64 ", %.60s, up %s", view->cluster,
          view->epoch, view->software,
          view->started_us ? age_format(age, wall_now_us() - view->started_us) : "-");
    if (view->draining)
        found(findings, LEVEL_WARNING, "start it again when its work is done",
              "is draining: it takes no new transactions");
    if (view->hazards)
        found(findings, LEVEL_PROBLEM,
              "troth tx list --in-doubt names them; compare the databases before anything else",
              "%" PRIu64 " hazards: a database does not hold what was decided, or can't prove it",
              view->hazards);
    check_journal(findings, view);
    check_sagas(findings, view);
}

/* ---- participants ------------------------------------------------------------------------- */

static void check_slots(struct findings *findings, const Wire__ParticipantView *view)
{
    uint64_t used = (uint64_t)view->prepared + view->prepared_foreign;
    if (view->prepared_slots == 0)
        found(findings, LEVEL_PROBLEM,
              "set max_prepared_transactions in its postgresql.conf (200, say) and restart it",
              "its PostgreSQL allows no prepared transactions");
    else if (used * 100 >= (uint64_t)view->prepared_slots * SLOTS_WARNING_PERCENT)
        found(findings, LEVEL_WARNING,
              "raise max_prepared_transactions, and see troth tx list --in-doubt for what holds "
              "them",
              "%" PRIu64 " of %" PRIu32 " prepared transactions are in use", used,
              view->prepared_slots);
}

static void check_held(struct findings *findings, const Wire__ParticipantView *view)
{
    for (size_t i = 0; i < view->n_held && i < HELD_SHOWN; i++)
        found(findings, LEVEL_PROBLEM,
              "its coordinator is not here or no longer knows its decision: compare the other "
              "databases, then end it by hand in this one",
              "%.199s is held, not ended", view->held[i]);
    if (view->n_held > HELD_SHOWN)
        found(findings, LEVEL_PROBLEM, "troth participant list --json names all",
              "%zu more are held", view->n_held - HELD_SHOWN);
}

static void check_database(struct findings *findings, const Wire__ParticipantView *view)
{
    time_text age;
    check_slots(findings, view);
    check_held(findings, view);
    if (view->prepared_foreign)
        found(findings, LEVEL_WARNING,
              "select * from pg_prepared_xacts; whoever made them must end them: they hold locks "
              "and block vacuum",
              "%" PRIu32 " prepared transactions in its database are not this cluster's",
              view->prepared_foreign);
    int64_t old_us = view->oldest_prepared_us ? wall_now_us() - view->oldest_prepared_us : 0;
    if (old_us > IN_DOUBT_LONG_US)
        found(findings, LEVEL_WARNING,
              "it holds locks until it is ended; troth tx list --in-doubt tells what it waits for",
              "its oldest prepared transaction is %s old", age_format(age, old_us));
}

/* The coordinator is away, or holds what it was asked about. */
static void check_terminating(struct findings *findings, const Wire__ParticipantView *view)
{
    const char *address = *view->listen ? view->listen : "ITS-LISTEN-ADDRESS";
    uint32_t minority = view->minority, other = view->terminating - minority;
    if (minority) {
        char *hint = xasprintf("troth --coordinator %s tx list --in-doubt names %s, and tx show "
                               "GTRID the sites that must come back",
                               address, minority == 1 ? "it" : "them");
        found(findings, LEVEL_PROBLEM, hint,
              "%" PRIu32 " %s for a majority of %s sites, and rows stay locked", minority,
              minority == 1 ? "transaction waits" : "transactions wait",
              minority == 1 ? "its" : "their");
        free(hint);
    }
    if (view->terminating > minority) {
        char *hint = xasprintf("troth --coordinator %s tx list --in-doubt names %s", address,
                               other == 1 ? "it" : "them");
        found(findings, LEVEL_WARNING, hint, "is finishing %" PRIu32 " %s without the coordinator",
              other, other == 1 ? "transaction" : "transactions");
        free(hint);
    }
}

/* A hint names the participant where it helps; its name was checked by the coordinator. */
static void check_participant(struct findings *findings, const Wire__ParticipantView *view)
{
    time_text age;
    snprintf(findings->subject, sizeof(findings->subject), "participant %.32s", view->name);
    if (!view->connected) {
        age_format(age, view->since_us ? wall_now_us() - view->since_us : 0);
        char *owed = view->unapplied
                         ? xasprintf("; %" PRIu32 " decided branches wait for it", view->unapplied)
                         : xstrdup("");
        found(findings, LEVEL_PROBLEM,
              "start its troth-participant, or see its log if it runs: transactions that need it "
              "abort",
              "not connected for %s%s", age, owed);
        free(owed);
        return;
    }
    if (!view->database_up) {
        found(findings, LEVEL_PROBLEM,
              "start its PostgreSQL, or mend what the reason names; the agent connects again by "
              "itself",
              "its database is down: %.300s",
              *view->database_reason ? view->database_reason : "no reason was given");
        return;
    }
    int before = findings->counts[LEVEL_WARNING] + findings->counts[LEVEL_PROBLEM];
    check_database(findings, view);
    check_terminating(findings, view);
    if (findings->counts[LEVEL_WARNING] + findings->counts[LEVEL_PROBLEM] == before)
        found(findings, LEVEL_OK, "",
              "connected, database up, %" PRIu32 " of %" PRIu32 " prepared, %" PRIu32
              " to be applied",
              view->prepared, view->prepared_slots, view->unapplied);
}

/* One line for all: where nobody wants three phases it should not be in the way. */
static void check_listen(struct findings *findings, const Wire__Answer *answer)
{
    char names[300] = "";
    size_t silent = 0, used = 0;
    for (size_t i = 0; i < answer->n_participants; i++) {
        const Wire__ParticipantView *view = answer->participants[i];
        /* Without a database it may not have told where it listens, and has worse troubles. */
        if (!view->connected || !view->database_up || *view->listen)
            continue;
        if (used < sizeof(names))
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%.32s",
                                     silent ? ", " : "", view->name);
        silent++;
    }
    if (silent == 0)
        return;
    snprintf(findings->subject, sizeof(findings->subject), "3pc");
    found(findings, LEVEL_INFO,
          "where --protocol 3pc is wanted, set `listen` in participant.yaml; if it is set, another "
          "process has that address (see the log)",
          "not with %s: no address where the other participants reach %s", names,
          silent == 1 ? "it" : "them");
}

static void check_participants(struct findings *findings, const Wire__Answer *answer)
{
    snprintf(findings->subject, sizeof(findings->subject), "participants");
    if (answer->n_participants == 0)
        found(findings, LEVEL_PROBLEM,
              "start troth-participant with this coordinator in its `coordinators`",
              "none has connected");
    for (size_t i = 0; i < answer->n_participants; i++)
        check_participant(findings, answer->participants[i]);
    check_listen(findings, answer);
}

/* ---- transactions ------------------------------------------------------------------------- */

/* All have voted yes, and nobody may decide: sites are missing. */
static bool lacks_majority(const Wire__TransactionView *tx)
{
    return is_three_phase(tx) && strcmp(tx->phase, "pre-commit") == 0 && *tx->waits_for &&
           !decision_known(tx) && tx->begun_us && wall_now_us() - tx->begun_us > MAJORITY_LONG_US;
}

static void check_majorities(struct findings *findings, const Wire__Answer *answer)
{
    time_text age;
    int count = 0;
    snprintf(findings->subject, sizeof(findings->subject), "3pc");
    for (size_t i = 0; i < answer->n_transactions; i++) {
        const Wire__TransactionView *tx = answer->transactions[i];
        if (!lacks_majority(tx) || count++ >= UNDECIDED_SHOWN)
            continue;
        char *hint = xasprintf("troth tx show %s names the sites that must come back", tx->gtrid);
        found(findings, LEVEL_WARNING, hint, "%.140s is undecided for %s: it waits for %.200s",
              tx->gtrid, age_format(age, wall_now_us() - tx->begun_us), tx->waits_for);
        free(hint);
    }
    if (count > UNDECIDED_SHOWN)
        found(findings, LEVEL_WARNING, "troth tx list --in-doubt names them",
              "%d more wait for a majority", count - UNDECIDED_SHOWN);
}

/* A participant does not know when a transaction of two phases was begun. */
static void check_in_doubt(struct findings *findings, const Wire__Answer *answer)
{
    const Wire__TransactionView *oldest = NULL;
    time_text age;
    size_t ageless = 0;
    snprintf(findings->subject, sizeof(findings->subject), "in doubt");
    for (size_t i = 0; i < answer->n_transactions; i++) {
        const Wire__TransactionView *tx = answer->transactions[i];
        ageless += tx->begun_us == 0;
        if (tx->begun_us && (!oldest || tx->begun_us < oldest->begun_us))
            oldest = tx;
    }
    uint64_t count = answer->n_transactions + answer->more;
    const char *noun = count == 1 ? "transaction" : "transactions";
    int64_t old_us = oldest ? wall_now_us() - oldest->begun_us : 0;
    if (count == 0) {
        found(findings, LEVEL_OK, "", "no transaction");
    } else if (old_us > IN_DOUBT_LONG_US) {
        char *hint = xasprintf("troth tx show %s", oldest->gtrid);
        found(findings, LEVEL_WARNING, hint, "%" PRIu64 " %s, the oldest for %s", count, noun,
              age_format(age, old_us));
        free(hint);
    } else if (ageless) {
        found(findings, LEVEL_OK, "", "%" PRIu64 " %s; since when is not known here", count, noun);
    } else {
        found(findings, LEVEL_OK, "", "%" PRIu64 " %s, none for more than a minute", count, noun);
    }
    check_majorities(findings, answer);
}

/* ---- the command -------------------------------------------------------------------------- */

typedef void check_answer(struct findings *findings, const Wire__Answer *answer);

static void coordinator_of(struct findings *findings, const Wire__Answer *answer)
{
    if (answer->coordinator)
        check_coordinator(findings, answer->coordinator);
}

/* What a participant tells is true of itself; how its coordinator is it can't know. */
static void no_coordinator(struct findings *findings)
{
    snprintf(findings->subject, sizeof(findings->subject), "coordinator");
    found(findings, LEVEL_WARNING,
          "ask it when it is back: all else is as this participant sees it",
          "not asked: participant %s has answered", findings->who.name);
}

static void unanswered(struct findings *findings, const Wire__Problem *problem)
{
    char *line = problem_line(problem);
    snprintf(findings->subject, sizeof(findings->subject), "%s %.32s",
             findings->who.participant ? "participant" : "coordinator", findings->who.name);
    found(findings, LEVEL_PROBLEM, problem->hint, "%.600s", line);
    free(line);
}

static bool ask_all(const struct options *options, struct findings *findings, struct error *error)
{
    static const struct {
        Wire__What what;
        check_answer *check;
    } questions[] = {{WIRE__WHAT__COORDINATOR, coordinator_of},
                     {WIRE__WHAT__PARTICIPANTS, check_participants},
                     {WIRE__WHAT__TRANSACTIONS, check_in_doubt}};
    struct connection *connection = connection_open(options, error);
    if (!connection)
        return false;
    findings->who = connection_answerer(connection);
    if (!findings->as_json)
        print_answerer(&findings->who);
    if (findings->who.participant)
        no_coordinator(findings);
    bool answered = true;
    for (size_t i = 0; answered && i < sizeof(questions) / sizeof(questions[0]); i++) {
        Wire__Query query = WIRE__QUERY__INIT;
        if (questions[i].what == WIRE__WHAT__COORDINATOR && findings->who.participant)
            continue;
        query.what = questions[i].what;
        query.in_doubt = query.what == WIRE__WHAT__TRANSACTIONS;
        Wire__Answer *answer = connection_query(connection, &query, error);
        answered = answer != NULL;
        if (!answer)
            break;
        if (problem_is_set(answer->problem))
            unanswered(findings, answer->problem);
        else
            questions[i].check(findings, answer);
        wire__answer__free_unpacked(answer, NULL);
    }
    connection_close(connection);
    return answered;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct arguments arguments = {.command = self};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count)
        return arguments_refuse(self, "doctor takes no \"%.60s\"", arguments.words[0]);
    struct findings findings = {.as_json = arguments.options.json};
    struct error error = {0};
    if (findings.as_json) {
        json_open(&findings.json, '{');
        json_name(&findings.json, "findings");
        json_open(&findings.json, '[');
    }
    if (!ask_all(&arguments.options, &findings, &error)) {
        json_writer_fini(&findings.json);
        return print_failure(&arguments.options, &error);
    }
    bool well = !findings.counts[LEVEL_WARNING] && !findings.counts[LEVEL_PROBLEM];
    if (findings.as_json) {
        json_close(&findings.json, ']');
        json_name(&findings.json, "well");
        json_boolean(&findings.json, well);
        json_answerer(&findings.json, &findings.who);
        json_close(&findings.json, '}');
        print_json(&findings.json);
    } else if (!well) {
        int problems = findings.counts[LEVEL_PROBLEM], warnings = findings.counts[LEVEL_WARNING];
        printf("\n%d problem%s, %d warning%s\n", problems, problems == 1 ? "" : "s", warnings,
               warnings == 1 ? "" : "s");
    }
    return well ? EXIT_DONE : EXIT_ABORTED;
}

const struct command doctor_command = {
    .name = "doctor",
    .usage = "",
    .summary = "check coordinator, participants and databases",
    .help = "Asks the coordinator about itself, its participants and what is in doubt. Each\n"
            "finding is a line: ok, info, warning or problem, and what to do about it.\n"
            "\n"
            "It looks at: a coordinator that drains; space for the journal; hazards; sagas\n"
            "that need an operator; participants that are not connected, and what waits for\n"
            "them; databases that are down; prepared transactions nearly used up (80 %),\n"
            "held, foreign, or older than a minute; transactions in doubt for longer than a\n"
            "minute. Of three-phase commit: participants that nobody can reach for it\n"
            "(info), those that finish transactions without their coordinator, and what\n"
            "lacks a majority.\n"
            "\n"
            "While the coordinator is away, --coordinator with the `listen` address of a\n"
            "participant looks at that one, and warns that no coordinator was asked.\n"
            "\n"
            "Exit code, for monitoring: 0 all is well, or info; 1 there are warnings or\n"
            "problems; 3 the coordinator does not answer.\n"
            "\n"
            "Examples:\n"
            "  troth doctor\n"
            "  troth doctor --json --timeout 2s\n",
    .run = run,
};
