#include "cli/commands.h"

const struct command *const commands[] = {
    &submit_command,
    &tx_list_command,
    &tx_show_command,
    &tx_explain_command,
    &tx_resolve_command,
    &tx_forget_command,
    &tx_orphans_command,
    &saga_start_command,
    &saga_list_command,
    &saga_show_command,
    &saga_retry_command,
    &saga_compensate_command,
    &saga_signal_command,
    &saga_lint_command,
    &saga_simulate_command,
    &saga_graph_command,
    &participant_list_command,
    &doctor_command,
    &top_command,
    &bench_command,
    &journal_verify_command,
    &journal_dump_command,
    &audit_verify_command,
    &audit_show_command,
    &completion_command,
};
const int command_count = sizeof(commands) / sizeof(commands[0]);

const char help_flags[] =
    "  --coordinator ADDR   where trothd listens; else TROTH_COORDINATOR, else\n"
    "                       tcp://127.0.0.1:7400. While it is away, tx, participant\n"
    "                       and doctor also take a participant's `listen` address\n"
    "  --timeout DURATION   500ms, 30s, 5m: the deadline of a submit; how long the\n"
    "                       other commands wait for an answer (default 5s; saga start\n"
    "                       --wait: for ever)\n"
    "  --json               print one JSON object instead of text\n"
    "  -h, --help           of the command\n"
    "  --version\n";

const char help_exit_codes[] =
    "  0  done\n"
    "  1  the transaction aborted, the saga was undone, or nothing was begun and a\n"
    "     retry may do; doctor: it found something\n"
    "  2  a mistake in the words or in a file\n"
    "  3  nobody answers, and nothing was sent\n"
    "  4  refused\n"
    "  5  the outcome is unknown, also of a saga that still runs; or a hazard: it\n"
    "     can't be proved\n";

const char help_examples[] =
    "  troth submit payments.charge \\\n"
    "    '{\"order_id\": \"17\", \"customer\": \"ada\", \"amount\": 1.50}'\n"
    "  troth tx list --in-doubt\n"
    "  troth saga list --needs-operator\n"
    "  troth doctor\n";
