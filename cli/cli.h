/* What the commands of `troth` share. */
#ifndef TROTH_CLI_CLI_H
#define TROTH_CLI_CLI_H

#include <stdbool.h>
#include <stdint.h>

/* Exit codes: scripts rely on them. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_ABORTED = 1,     /* aborted, a saga compensated; or nothing was begun and a retry may do */
    EXIT_USAGE = 2,       /* the words or a file are wrong */
    EXIT_UNREACHABLE = 3, /* nobody answers, and nothing was sent */
    EXIT_REFUSED = 4,     /* no right to, or it would contradict what was decided */
    EXIT_UNKNOWN = 5,     /* the outcome is not known, not yet known, or can't be proved */
};

enum named_by { NAMED_BY_NOBODY, NAMED_BY_VARIABLE, NAMED_BY_FLAG };

/* The options that every command takes. */
struct options {
    const char *coordinator;        /* address, checked */
    enum named_by coordinator_from; /* NOBODY: it is the default */
    bool json;
    uint64_t timeout_us; /* 0: not given */
    /* Of commands that look: a journal's directory, which is read in the coordinator's place.
     * NULL: the coordinator is asked. */
    const char *journal;
};

/* One command. The words after its name come in as argc, argv. */
struct command {
    const char *name;    /* "submit", or a noun and a verb: "tx list" */
    const char *usage;   /* what follows the name */
    const char *summary; /* one line for the list of commands */
    const char *help;    /* the rest: what it does, flags, examples; ends with a newline */
    int (*run)(const struct command *self, int argc, char **argv);
};

extern const struct command submit_command, bench_command;
extern const struct command tx_list_command, tx_show_command, tx_explain_command;
extern const struct command tx_resolve_command, tx_forget_command, tx_orphans_command;
extern const struct command participant_list_command;
extern const struct command doctor_command, completion_command, top_command;
extern const struct command audit_verify_command, audit_show_command;
extern const struct command journal_verify_command, journal_dump_command;
extern const struct command saga_start_command, saga_list_command, saga_show_command;
extern const struct command saga_retry_command, saga_compensate_command, saga_signal_command;
extern const struct command saga_lint_command, saga_simulate_command, saga_graph_command;

#endif
