/* troth doctor: is everything well, and what to do where it is not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/doctor.h"
#include "cli/print.h"

/* What is asked, in this order: what needs the databases comes last. */
enum question {
    COORDINATOR,
    PARTICIPANTS,
    IN_DOUBT,
    FORCED,
    HAZARDS,
    PREPARED,
    DIAGNOSIS,
    QUESTIONS
};

static const Wire__What whats[QUESTIONS] = {
    [COORDINATOR] = WIRE__WHAT__COORDINATOR, [PARTICIPANTS] = WIRE__WHAT__PARTICIPANTS,
    [IN_DOUBT] = WIRE__WHAT__TRANSACTIONS,   [FORCED] = WIRE__WHAT__TRANSACTIONS,
    [HAZARDS] = WIRE__WHAT__TRANSACTIONS,    [PREPARED] = WIRE__WHAT__PREPARED,
    [DIAGNOSIS] = WIRE__WHAT__DIAGNOSIS,
};

static Wire__Answer *ask(struct connection *connection, enum question question, struct error *error)
{
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = whats[question];
    query.in_doubt = question == IN_DOUBT;
    query.heuristic = question == FORCED;
    query.hazard = question == HAZARDS;
    return connection_query(connection, &query, error);
}

static void refused(struct findings *findings, const Wire__Problem *problem)
{
    char *line = problem_line(problem);
    findings_about(findings, "%s %.32s", findings->who.participant ? "participant" : "coordinator",
                   findings->who.name);
    found(findings, LEVEL_PROBLEM, problem->hint, "%.600s", line);
    free(line);
}

/* All else has been told: that must not be lost because somebody is slow. */
static void unanswered(struct findings *findings, const struct error *error)
{
    findings_about(findings, "databases");
    found(findings, LEVEL_WARNING,
          "troth participant list tells who is there; --timeout 10s waits longer",
          "they could not be looked at: %s", error->message);
}

/* False with an error when who was asked is gone before it has told of itself; later than that the
 * error says why the databases were not heard. */
static bool ask_all(struct connection *connection, struct findings *findings,
                    Wire__Answer *answers[QUESTIONS], struct error *error)
{
    for (enum question question = 0; question < QUESTIONS; question++) {
        if (question == COORDINATOR && findings->who.participant)
            continue;
        Wire__Answer *answer = ask(connection, question, error);
        if (!answer)
            return question >= PREPARED;
        if (problem_is_set(answer->problem)) {
            refused(findings, answer->problem);
            wire__answer__free_unpacked(answer, NULL);
            continue;
        }
        answers[question] = answer;
    }
    return true;
}

static void check_all(struct findings *findings, Wire__Answer *const answers[QUESTIONS],
                      const struct options *options, const struct error *unheard)
{
    const struct checkup checkup = {
        .coordinator = answers[COORDINATOR],
        .participants = answers[PARTICIPANTS],
        .in_doubt = answers[IN_DOUBT],
        .forced = answers[FORCED],
        .hazards = answers[HAZARDS],
        .prepared = answers[PREPARED],
        .diagnosis = answers[DIAGNOSIS],
    };
    check_coordinator(findings, &checkup);
    check_participants(findings, &checkup);
    check_doors(findings, &checkup, options);
    if (unheard->kind != ERROR_NONE)
        unanswered(findings, unheard);
    check_databases(findings, &checkup);
    check_prepared(findings, &checkup);
    check_clocks(findings, &checkup);
    check_sessions(findings, &checkup);
    check_transactions(findings, &checkup);
    findings_about(findings, "security");
    found(findings, LEVEL_INFO, "",
          "none: who can reach these ports of this machine can order all that troth can; so they "
          "may be on loopback addresses only");
}

static bool examine(const struct options *options, struct findings *findings, struct error *error)
{
    Wire__Answer *answers[QUESTIONS] = {NULL};
    struct connection *connection = connection_open(options, error);
    if (!connection)
        return false;
    findings->who = connection_answerer(connection);
    bool told = ask_all(connection, findings, answers, error);
    connection_close(connection);
    if (told)
        check_all(findings, answers, options, error);
    for (int i = 0; i < QUESTIONS; i++)
        if (answers[i])
            wire__answer__free_unpacked(answers[i], NULL);
    return told;
}

static void print_all(const struct options *options, const struct findings *findings)
{
    struct json_writer writer = {0};
    if (!options->json) {
        print_answerer(&findings->who);
        findings_print(findings);
        return;
    }
    json_open(&writer, '{');
    findings_json(&writer, findings);
    json_answerer(&writer, &findings->who);
    json_close(&writer, '}');
    print_json(&writer);
}

static int run(const struct command *self, int argc, char **argv)
{
    struct arguments arguments = {.command = self};
    struct findings findings = {0};
    struct error error = {0};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count)
        return arguments_refuse(self, "doctor takes no \"%.60s\"", arguments.words[0]);
    int code;
    if (examine(&arguments.options, &findings, &error)) {
        print_all(&arguments.options, &findings);
        code = findings_bad(&findings) ? EXIT_ABORTED : EXIT_DONE;
    } else {
        code = print_failure(&arguments.options, &error);
    }
    findings_fini(&findings);
    return code;
}

const struct command doctor_command = {
    .name = "doctor",
    .usage = "",
    .summary = "check coordinator, participants and databases",
    .help = "Asks the coordinator about itself, its participants and what is in doubt, and\n"
            "through the participants their databases. Findings come subject by subject:\n"
            "ok, info, warning or problem, and after -> what to do.\n"
            "\n"
            "It looks at\n"
            "  the coordinator   draining; space for the journal; sagas that need an operator\n"
            "  participants      not connected, and what waits for them; databases down;\n"
            "                    prepared transactions nearly used up (80 %), held, foreign,\n"
            "                    older than a minute; their `listen` address; clocks (info\n"
            "                    over 1 s, warning over 1 min, problem over 1 h)\n"
            "  databases         settings that endanger what was committed; slots and\n"
            "                    connections; the schema, missing rights with the GRANT to\n"
            "                    run; standbys; what holds vacuum back\n"
            "  transactions      in doubt for longer than a minute, without a majority, of\n"
            "                    coordinators that are gone; forced, mixed, hazards\n"
            "A participant or database that does not answer is a finding, too. Nothing is\n"
            "changed, and no lock is taken that work would wait for.\n"
            "\n"
            "While the coordinator is away, --coordinator with the `listen` address of a\n"
            "participant looks at that one, and warns that no coordinator was asked.\n"
            "\n"
            "Exit code, for monitoring: 0 all is well, or info; 1 there are warnings or\n"
            "problems; 3 the coordinator does not answer.\n"
            "\n"
            "Examples:\n"
            "  troth doctor\n"
            "  troth doctor --json --timeout 10s\n",
    .run = run,
};
