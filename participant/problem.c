#include "participant/problem.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "participant/agent_private.h"

/* Where a text is cut, half a UTF-8 character goes too: protobuf strings must be valid. */
void problem_say(char *field, size_t room, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(field, room, format, arguments);
    va_end(arguments);
    if (size < (int)room)
        return;
    char *end = field + room - 1;
    while (end > field && ((unsigned char)end[-1] & 0xc0) == 0x80)
        *--end = '\0';
    if (end > field && (unsigned char)end[-1] >= 0xc0)
        end[-1] = '\0';
}

#define SAY PROBLEM_SAY

void problem_init(struct problem *problem, const struct agent *agent, const char *operation,
                  const char *code)
{
    wire__problem__init(&problem->wire);
    problem->wire.participant = agent->participant;
    problem->wire.operation = problem->operation;
    problem->wire.code = problem->code;
    problem->wire.message = problem->message;
    problem->wire.detail = problem->detail;
    problem->wire.hint = problem->hint;
    problem->message[0] = problem->detail[0] = problem->hint[0] = '\0';
    SAY(problem->operation, "%s", operation);
    SAY(problem->code, "%s", code);
}

void problem_refused(struct problem *problem, const struct agent *agent,
                     const struct work_refusal *refusal)
{
    problem_init(problem, agent, refusal->operation, refusal->code);
    SAY(problem->message, "%s", refusal->error.message);
    SAY(problem->detail, "%s", refusal->error.detail);
    SAY(problem->hint, "%s", refusal->error.hint);
}

void problem_database(struct problem *problem, const struct agent *agent, const char *what)
{
    SAY(problem->code, "database_down");
    SAY(problem->message, "%s", what);
    SAY(problem->detail, "%s", agent->database_reason);
    SAY(problem->hint,
        "the log of troth-participant %s tells more; its connection is set by "
        "postgres.conninfo",
        agent->participant);
}

void problem_deadline(struct problem *problem, const char *what)
{
    SAY(problem->code, "deadline");
    SAY(problem->message, "%s", what);
    SAY(problem->hint, "allow more time (--timeout, timeouts.transaction), or more work at once "
                       "(postgres.connections)");
}

/* From 1, among the statements of its own operation. */
static int place_in_call(const struct db_work *request, int statement)
{
    int first = statement;
    while (first > 0 && request->statements[first - 1].call == request->statements[statement].call)
        first--;
    return statement - first + 1;
}

void problem_work(struct problem *problem, const struct agent *agent, const struct work *work,
                  const struct problem_context *context)
{
    const struct db_worked *worked = context->worked;
    const struct db_work *request = &work->request;
    SAY(problem->detail, "%s", worked->detail ? worked->detail : "");
    if (context->too_large) {
        SAY(problem->code, "result_too_large");
        SAY(problem->message, "the results are larger than %d bytes", LIMIT_RESULT_BYTES);
        SAY(problem->hint, "return fewer rows or columns, or drop `result`");
    } else if (worked->refusal && worked->refusal[0]) {
        SAY(problem->code, "%s", worked->refusal);
        SAY(problem->message, "%s", worked->reason);
    } else if (worked->sqlstate && worked->sqlstate[0]) {
        bool late = strcmp(worked->sqlstate, "57014") == 0 &&
                    agent->host.now_us(agent->host.self) >= context->deadline_us;
        if (late) {
            problem_deadline(problem, "the transaction's time was up while its work ran");
            return;
        }
        SAY(problem->code, "%s", worked->sqlstate);
        SAY(problem->message, "%s", worked->reason);
    } else if (worked->failed_statement >= 0 &&
               worked->failed_statement < request->statement_count) {
        const struct db_statement *statement = &request->statements[worked->failed_statement];
        SAY(problem->code, "%s", worked->reason);
        SAY(problem->message, "%s: statement %d did not have the expected %" PRId64 " row%s",
            worked->reason, place_in_call(request, worked->failed_statement),
            statement->expect_rows, statement->expect_rows == 1 ? "" : "s");
    } else {
        problem_database(problem, agent, worked->reason);
    }
}

const char *problem_operation(const struct work *work, const struct db_worked *worked)
{
    if (!work || work->request.call_count == 0)
        return "";
    int call = 0, failed = worked ? worked->failed_statement : -1;
    if (work->calls && failed >= 0 && failed < work->request.call_count)
        call = failed;
    else if (failed >= 0 && failed < work->request.statement_count)
        call = work->request.statements[failed].call;
    return work->operations[call]->name;
}
