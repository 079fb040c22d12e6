/* A service before anything runs: its file, what it offers, the work that comes of a call, and what
 * a handler reads and says. No database is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/check.h"
#include "participant/problem.h"
#include "participant/service.h"
#include "participant/work.h"

static const char good_file[] =
    "cluster: shop\nparticipant: payments\ncoordinators: [tcp://127.0.0.1:7400]\n"
    "postgres: {conninfo: \"dbname=payments\"}\nsecurity: none\n";

static struct troth_service *open_with(const char *text, struct troth_result *result)
{
    char path[] = "/tmp/troth-service-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), (ssize_t)strlen(text));
    close(file);
    struct troth_service *service = troth_service_open(path, result);
    unlink(path);
    return service;
}

static bool agree(struct troth_request *request, PGconn *connection, void *self)
{
    (void)request, (void)connection, (void)self;
    return true;
}

/* ---- its file and what it offers ----------------------------------------------------------- */

static void a_file_has_no_operations_and_every_mistake_is_told(void **state)
{
    struct troth_result result = {0};
    char text[600];
    (void)state;
    assert_null(troth_service_open("/nowhere/x.yaml", &result));
    assert_int_equal(result.status, TROTH_REFUSED);
    assert_string_equal(result.problem.code, "bad_config");
    snprintf(text, sizeof(text), "%soperations:\n  note: {sql: [{statement: select 1}]}\n",
             good_file);
    assert_null(open_with(text, &result));
    if (!strstr(result.problem.message, "troth_service_offer") &&
        !strstr(result.problem.detail, "troth_service_offer"))
        fail_msg("%s: %s", result.problem.message, result.problem.detail);
    struct troth_service *service = open_with(good_file, &result);
    assert_non_null(service);
    assert_int_equal(result.status, TROTH_OK);
    assert_string_equal(result.problem.message, "");
    troth_service_stop(service); /* from anywhere, at any time */
    troth_service_close(service);
    troth_service_close(NULL);
    troth_result_clear(&result);
}

static void what_makes_no_sense_is_not_offered(void **state)
{
    static const struct {
        const char *name, *parameters, *said;
    } cases[] = {
        {NULL, NULL, "can't be the name"},
        {"", NULL, "can't be the name"},
        {"no spaces", NULL, "can't be the name"},
        {"charge", "amount", "not a name and a type"},
        {"charge", "amount numeric,", "not a name and a type"},
        {"charge", ", amount numeric", "not a name and a type"},
        {"charge", "amount numeric(12,2)", "has no length"},
        {"charge", "amount numeric, amount text", "declared twice"},
        {"charge", "ids text[]", "array"},
        {"note", NULL, "offered twice"},
    };
    struct troth_result result = {0};
    struct troth_service *service = open_with(good_file, &result);
    struct troth_operation operation = {.name = "note", .handler = agree};
    (void)state;
    assert_int_equal(troth_service_offer(service, &operation, &result), TROTH_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        operation =
            (struct troth_operation){cases[i].name, cases[i].parameters, false, agree, NULL};
        assert_int_equal(troth_service_offer(service, &operation, &result), TROTH_REFUSED);
        assert_string_equal(result.problem.code, "bad_operation");
        if (!strstr(result.problem.message, cases[i].said))
            fail_msg("case %zu: %s", i, result.problem.message);
    }
    operation = (struct troth_operation){.name = "charge"};
    assert_int_equal(troth_service_offer(service, &operation, &result), TROTH_REFUSED);
    /* What was refused left nothing behind. */
    operation = (struct troth_operation){"charge", " order_id text ,\n amount double precision ",
                                         true, agree, NULL};
    assert_int_equal(troth_service_offer(service, &operation, NULL), TROTH_OK);
    troth_service_close(service);
    troth_result_clear(&result);
}

/* ---- work ---------------------------------------------------------------------------------- */

static void calls_become_work_without_statements(void **state)
{
    static const int charge_handler = 0, look_handler = 0;
    struct operation_set set = {0};
    struct error error = {0};
    struct work_refusal refusal;
    const struct gid id = {.cluster = "shop", .coordinator = "c1", .tx = {5, 17}};
    (void)state;
    struct operation *operation = operation_add(&set, "charge", false, &error);
    assert_true(operation_parameter_add(operation, "amount", "numeric", &error));
    operation_handler_set(operation, &charge_handler);
    assert_true(operation_check(operation, &error));
    operation = operation_add(&set, "look", true, &error);
    operation_handler_set(operation, &look_handler);
    Wire__Call charge = WIRE__CALL__INIT, look = WIRE__CALL__INIT;
    charge.operation = (char *)"charge";
    charge.arguments = (char *)"{\"amount\": 12.50}";
    look.operation = (char *)"look";
    look.arguments = (char *)"{}";
    Wire__Call *calls[] = {&charge, &look};
    Wire__Prepare prepare = WIRE__PREPARE__INIT;
    prepare.n_calls = 2;
    prepare.calls = calls;
    struct work *work = work_new(&set, &prepare, "gid", "gtrid", &refusal);
    assert_non_null(work);
    assert_int_equal(work->request.mode, DB_PREPARE);
    assert_int_equal(work->request.statement_count, 0);
    assert_int_equal(work->request.call_count, 2);
    assert_ptr_equal(work->request.calls[0].handler, &charge_handler);
    assert_string_equal(work->request.calls[0].operation, "charge");
    assert_string_equal(work->request.calls[0].arguments, "{\"amount\": 12.50}");
    assert_ptr_not_equal(work->request.calls[0].arguments, charge.arguments);
    assert_string_equal(work->request.calls[1].operation, "look");
    /* It is told which of the calls has failed. */
    struct db_worked worked = {.failed_statement = 1};
    assert_string_equal(problem_operation(work, &worked), "look");
    worked.failed_statement = -1;
    assert_string_equal(problem_operation(work, &worked), "charge");
    work_free(work);
    prepare.n_calls = 1;
    prepare.calls = &calls[1];
    work = work_new(&set, &prepare, "gid", "gtrid", &refusal);
    assert_int_equal(work->request.mode, DB_READ_ONLY);
    work_free(work);
    work = work_new_task(&set, &charge, "shop.c1.5.17/charge", &refusal);
    assert_int_equal(work->request.mode, DB_ONE_PHASE);
    assert_true(work->request.keeps_result);
    assert_string_equal(work->request.gtrid, "shop.c1.5.17/charge");
    work_free(work);
    work = work_new_step(&set, &look, &id, "troth.shop.c1.5.17.0", &refusal);
    assert_int_equal(work->request.mode, DB_STEP);
    assert_string_equal(work->request.gtrid, "shop.c1.5.17");
    assert_non_null(work->request.calls);
    work_free(work);
    charge.arguments = (char *)"{\"amount\": \"much\"}";
    assert_null(work_new_task(&set, &charge, "key", &refusal));
    assert_string_equal(refusal.code, "bad_argument");
    operation_set_fini(&set);
}

/* ---- requests ------------------------------------------------------------------------------ */

static struct pg_handler_answer answer_of(troth_handler *handler, const char *arguments, void *self)
{
    const struct offer offer = {handler, self};
    const struct db_call call = {.handler = &offer, .operation = "charge", .arguments = arguments};
    struct pg_handler_answer answer = {0};
    service_call(NULL, &call, "shop.c1.5.17", NULL, &answer);
    return answer;
}

static void answer_fini(struct pg_handler_answer *answer)
{
    free(answer->result);
    free(answer->refusal);
    free(answer->sqlstate);
    free(answer->message);
    free(answer->detail);
}

static bool read_all(struct troth_request *request, PGconn *connection, void *self)
{
    assert_null(connection);
    *(int *)self += 1;
    assert_string_equal(troth_request_id(request), "shop.c1.5.17");
    assert_non_null(strstr(troth_arguments(request), "12.50"));
    assert_string_equal(troth_argument(request, "amount"), "12.50");
    assert_string_equal(troth_argument(request, "name"), "\u00e9\"\n");
    assert_string_equal(troth_argument(request, "gift"), "true");
    assert_string_equal(troth_argument(request, "list"), "[1, {\"a\": null}]");
    assert_string_equal(troth_argument(request, "list"), "[1, {\"a\": null}]");
    assert_null(troth_argument(request, "nothing"));
    assert_null(troth_argument(request, "absent"));
    assert_true(troth_return(request, "{\"id\": 1}"));
    return troth_return(request, " {\"id\": 2}");
}

static void a_handler_reads_its_arguments_and_the_last_result_counts(void **state)
{
    int called = 0;
    (void)state;
    struct pg_handler_answer answer =
        answer_of(read_all,
                  "{\"amount\": 12.50, \"name\": \"\\u00e9\\\"\\n\", \"gift\": true,"
                  " \"list\": [1, {\"a\": null}], \"nothing\": null}",
                  &called);
    assert_int_equal(called, 1);
    assert_true(answer.done);
    assert_string_equal(answer.result, " {\"id\": 2}");
    assert_null(answer.refusal);
    answer_fini(&answer);
}

enum { LONG_BYTES = 1000000 };

struct saying {
    const char *code, *message; /* of troth_refuse */
    bool then;                  /* what the handler returns after it */
    const char *wanted_code, *wanted_message;
};

static bool say(struct troth_request *request, PGconn *connection, void *self)
{
    const struct saying *saying = self;
    (void)connection;
    troth_return(request, "{\"kept\": false}");
    assert_false(troth_refuse(request, saying->code, saying->message));
    return saying->then;
}

static bool say_nothing(struct troth_request *request, PGconn *connection, void *self)
{
    (void)request, (void)connection, (void)self;
    return false;
}

static bool return_text(struct troth_request *request, PGconn *connection, void *self)
{
    (void)connection;
    return troth_return(request, self);
}

static bool blame_sql(struct troth_request *request, PGconn *connection, void *self)
{
    (void)connection;
    return troth_sql_failed(request, self);
}

static void a_refusal_has_a_word_and_a_line_whatever_it_was_given(void **state)
{
    static const struct saying sayings[] = {
        {"insufficient_funds", "not enough", false, "insufficient_funds", "not enough"},
        {"insufficient_funds", "not enough", true, "insufficient_funds", "not enough"},
        {"two words", "x", false, "refused", "x"},
        {NULL, NULL, false, "refused", "refused"},
        {"no", NULL, false, "no", "no"},
        {"no", "a\nb\tc\xff", false, "no", "a b c?"},
        {"no", "\u00e9", false, "no", "\u00e9"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(sayings) / sizeof(*sayings); i++) {
        struct pg_handler_answer answer = answer_of(say, "{}", (void *)&sayings[i]);
        assert_false(answer.done);
        assert_null(answer.result);
        assert_null(answer.sqlstate);
        assert_string_equal(answer.refusal, sayings[i].wanted_code);
        assert_string_equal(answer.message, sayings[i].wanted_message);
        answer_fini(&answer);
    }
    struct pg_handler_answer answer = answer_of(say_nothing, "{}", NULL);
    assert_false(answer.done);
    assert_string_equal(answer.refusal, "refused");
    answer_fini(&answer);
    /* PostgreSQL's texts may be of any size, and their last line ends. */
    char *text = xmalloc((size_t)LONG_BYTES + 1);
    memset(text, 'x', LONG_BYTES);
    strcpy(text + LONG_BYTES - 1, "\n");
    struct saying wordy = {"no", text, false, "no", NULL};
    answer = answer_of(say, "{}", &wordy);
    assert_int_equal(strlen(answer.message), 1000);
    answer_fini(&answer);
    free(text);
}

static void a_result_that_is_no_json_is_a_refusal(void **state)
{
    (void)state;
    struct pg_handler_answer answer = answer_of(return_text, "{}", (void *)"{oops");
    assert_false(answer.done);
    assert_string_equal(answer.refusal, "bad_result");
    answer_fini(&answer);
    answer = answer_of(return_text, "{}", NULL);
    assert_true(answer.done);
    assert_null(answer.result);
    answer_fini(&answer);
}

/* Those that libpq itself makes have no SQLSTATE: they are about the connection. */
static void what_libpq_says_without_an_sqlstate_is_about_the_connection(void **state)
{
    PGresult *results[] = {NULL, PQmakeEmptyPGresult(NULL, PGRES_FATAL_ERROR)};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct pg_handler_answer answer = answer_of(blame_sql, "{}", results[i]);
        assert_false(answer.done);
        assert_string_equal(answer.sqlstate, "08006");
        assert_null(answer.refusal);
        answer_fini(&answer);
        PQclear(results[i]);
    }
    PGresult *fine = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    struct pg_handler_answer answer = answer_of(blame_sql, "{}", fine);
    assert_false(answer.done);
    assert_null(answer.sqlstate);
    assert_string_equal(answer.refusal, "refused");
    answer_fini(&answer);
    PQclear(fine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_has_no_operations_and_every_mistake_is_told),
        cmocka_unit_test(what_makes_no_sense_is_not_offered),
        cmocka_unit_test(calls_become_work_without_statements),
        cmocka_unit_test(a_handler_reads_its_arguments_and_the_last_result_counts),
        cmocka_unit_test(a_refusal_has_a_word_and_a_line_whatever_it_was_given),
        cmocka_unit_test(a_result_that_is_no_json_is_a_refusal),
        cmocka_unit_test(what_libpq_says_without_an_sqlstate_is_about_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
