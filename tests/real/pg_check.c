/* pg_install and pg_check, and the port on a server that is not fit: what a person is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/real/support/pg_rig.h"
#include "tests/real/support/shop.h"

static bool check(const char *conninfo, struct error *error)
{
    const struct pg_config config = {.conninfo = conninfo, .connections = 2};
    return pg_check(&config, NULL, 0, error);
}

static void installing_twice_is_fine_and_the_check_passes(void **state)
{
    struct rig *rig = *state;
    struct error error;
    const struct pg_config config = {.conninfo = rig->conninfo, .connections = 2};
    assert_true(pg_install(&config, &error));
    assert_true(pg_install(&config, &error));
    assert_true(pg_check(&config, NULL, 0, &error));
}

static void the_check_names_the_command_when_the_schema_is_missing(void **state)
{
    struct rig *rig = *state;
    struct error error;
    rig_sql(rig, "alter schema troth rename to troth_away");
    bool ok = check(rig->conninfo, &error);
    rig_sql(rig, "alter schema troth_away rename to troth");
    assert_false(ok);
    assert_non_null(strstr(error.message, "not installed"));
    assert_non_null(strstr(error.hint, "--install"));
}

static void the_check_names_the_command_when_a_table_is_missing(void **state)
{
    struct rig *rig = *state;
    struct error error;
    rig_sql(rig, "alter table troth.register rename to register_away");
    bool ok = check(rig->conninfo, &error);
    rig_sql(rig, "alter table troth.register_away rename to register");
    assert_false(ok);
    assert_non_null(strstr(error.message, "troth.register is missing"));
    assert_non_null(strstr(error.hint, "--install"));
    assert_true(check(rig->conninfo, &error));
}

static void the_check_names_every_statement_that_the_server_refuses(void **state)
{
    struct rig *rig = *state;
    struct error error;
    const struct pg_config config = {.conninfo = rig->conninfo, .connections = 2};
    const char *integer = "integer", *unknown = "nosuchtype";
    const struct db_statement statements[] = {
        {.name = "good", .sql = "select $1 + 1", .parameter_count = 1, .types = &integer},
        {.name = "pay, statement 1", .sql = "select nosuch from pg_class"},
        {.name = "pay, statement 2", .sql = "select $1", .parameter_count = 1, .types = &unknown},
    };
    assert_true(pg_check(&config, statements, 1, &error));
    assert_false(pg_check(&config, statements, 3, &error));
    assert_non_null(strstr(error.message, "2 statements"));
    assert_non_null(strstr(error.detail, "pay, statement 1: column \"nosuch\""));
    assert_non_null(strstr(error.detail, "pay, statement 2: type \"nosuchtype\""));
}

static void the_check_refuses_a_newer_schema(void **state)
{
    struct rig *rig = *state;
    struct error error;
    rig_sql(rig, "insert into troth.installed values (99)");
    const struct pg_config config = {.conninfo = rig->conninfo, .connections = 2};
    bool checked = pg_check(&config, NULL, 0, &error), installed = pg_install(&config, NULL);
    rig_sql(rig, "delete from troth.installed where version = 99");
    assert_false(checked);
    assert_false(installed);
    assert_non_null(strstr(error.hint, "newer"));
}

/* What older versions had. */
#define TABLES_1                                                                                   \
    "drop schema troth cascade; create schema troth;"                                              \
    " create table troth.installed (version integer primary key,"                                  \
    "   at timestamptz not null default now());"                                                   \
    " create table troth.barrier (gtrid text primary key,"                                         \
    "   kind text not null default 'one-phase', at timestamptz not null default now());"           \
    " create index barrier_at on troth.barrier using brin (at);"                                   \
    " insert into troth.barrier values ('kept');"
static const char schema_1[] = TABLES_1 " insert into troth.installed (version) values (1)";
static const char schema_2[] = TABLES_1
    " create table troth.register (promised_round bigint not null default 0,"
    "   promised_site bigint not null default 0, accepted_round bigint not null default 0,"
    "   accepted_site bigint not null default 0, value smallint not null default 0,"
    "   begun_us bigint not null, at timestamptz not null default now(),"
    "   gtrid text collate \"C\" not null, participant text collate \"C\" not null,"
    "   sites text not null, primary key (gtrid, participant)) with (fillfactor = 50);"
    " create table troth.settled (cluster text collate \"C\", coordinator text collate \"C\","
    "   epoch bigint, block bigint, bits bit(4096) not null,"
    "   at timestamptz not null default now(), primary key (cluster, coordinator, epoch, block));"
    " insert into troth.register (begun_us, gtrid, participant, sites)"
    "   values (1, 'rig.c1.1.1', 'payments', '');"
    " insert into troth.installed (version) values (1), (2)";

static void older_schema(struct rig *rig, const char *schema, const char *complaint)
{
    struct error error;
    const struct pg_config config = {.conninfo = rig->conninfo, .connections = 2};
    int ups = rig->ups, downs = rig->downs;
    rig_stop(rig);
    rig_sql(rig, schema);
    assert_false(pg_check(&config, NULL, 0, &error));
    assert_non_null(strstr(error.message, complaint));
    assert_non_null(strstr(error.hint, "--install"));
    rig_start(rig, 2);
    rig_until_count(rig, &rig->downs, downs + 1, "the port refuses the database");
    assert_non_null(strstr(rig->down_reason, complaint));
    assert_non_null(strstr(rig->down_reason, "--install"));
    assert_int_equal(rig->ups, ups);
    assert_true(pg_install(&config, &error));
    assert_true(pg_check(&config, NULL, 0, &error));
    assert_string_equal(rig_sql(rig, "select string_agg(version::text, ' ' order by version)"
                                     " from troth.installed"),
                        "1 2 3 4 5");
    assert_string_equal(rig_sql(rig, "select kind from troth.barrier where gtrid = 'kept'"),
                        "one-phase");
    rig_until_count(rig, &rig->ups, ups + 1, "the port takes the database after that");
    assert_true(pg_install(&config, &error));
}

/* Its tables have the right names and are not Troth's: only the statements of the connection for
 * registers find that out. */
static void why_a_connection_can_not_be_used_is_why_the_database_is_down(void **state)
{
    struct rig *rig = *state;
    static const char problem[] = "troth.register and troth.sites: cannot insert a non-DEFAULT "
                                  "value into column \"begun_us\"";
    int ups = rig->ups, downs = rig->downs;
    rig_stop(rig);
    rig_sql(rig, "alter table troth.register alter begun_us add generated always as identity");
    rig_start(rig, 2);
    rig_until_count(rig, &rig->downs, downs + 1, "the port can't use the database");
    assert_string_equal(rig->down_reason, problem);
    assert_int_equal(rig->ups, ups);
    rig_sql(rig, "alter table troth.register alter begun_us drop identity");
    rig_until_count(rig, &rig->ups, ups + 1, "the port takes the database after that");
    assert_int_equal(rig->downs, downs + 1);
}

/* A step of a saga: its row has a result. */
static void keeps_results(struct rig *rig)
{
    struct rig_answer answer = {.result_count = 1};
    struct db_statement statement =
        rig_plain("give", "update rig set n = n + 1 where id = 'a' returning n");
    statement.shape = DB_ROW;
    struct db_work work = rig_work_of(DB_ONE_PHASE, "rig.c1.7.1/give", &statement, 1);
    work.keeps_result = true;
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_COMMITTED);
    assert_string_equal(
        rig_sql(rig, "select kind || result from troth.barrier where gtrid = 'rig.c1.7.1/give'"),
        "done{\"n\":101}");
}

static void an_older_schema_is_refused_and_brought_up_to_date(void **state)
{
    struct rig *rig = *state;
    older_schema(rig, schema_1, "has version 1, not 5");
    keeps_results(rig);
}

static void the_schema_without_results_is_brought_up_to_date(void **state)
{
    struct rig *rig = *state;
    older_schema(rig, schema_2, "has version 2, not 5");
    assert_string_equal(rig_sql(rig, "select result is null from troth.barrier"), "t");
    assert_string_equal(rig_sql(rig, "select gtrid from troth.register"), "rig.c1.1.1");
    keeps_results(rig);
}

/* What the table lost, or got, without a new version. */
static void a_check_of_the_register_goes_with_the_next_install(void **state)
{
    struct rig *rig = *state;
    struct error error;
    const struct pg_config config = {.conninfo = rig->conninfo, .connections = 2};
    static const char checks[] = "select count(*) from pg_constraint"
                                 " where conrelid = 'troth.register'::regclass and contype = 'c'";
    rig_sql(rig, "alter table troth.register add check (value between 0 and 2)");
    assert_string_equal(rig_sql(rig, checks), "1");
    assert_true(pg_install(&config, &error));
    assert_string_equal(rig_sql(rig, checks), "0");
}

static void a_role_without_rights_is_told_what_it_needs(void **state)
{
    struct rig *rig = *state;
    struct error error;
    char conninfo[512];
    rig_sql(rig, "drop role if exists rig_poor; create role rig_poor login");
    snprintf(conninfo, sizeof(conninfo), "%s user=rig_poor", rig->conninfo);
    const struct pg_config config = {.conninfo = conninfo, .connections = 2};
    bool checked = pg_check(&config, NULL, 0, &error);
    assert_false(checked);
    assert_non_null(strstr(error.message, "rig_poor has no right"));
    rig_sql(rig, "alter schema troth rename to troth_away");
    bool installed = pg_install(&config, &error);
    rig_sql(rig, "alter schema troth_away rename to troth");
    assert_false(installed);
    assert_non_null(strstr(error.hint, "GRANT CREATE"));
    rig_sql(rig, "drop role rig_poor");
}

/* Runs a line of shell, without single quotes in it, that knows tests/lib/clusters.sh. */
static void shell(const char *line)
{
    char command[2048];
    snprintf(command, sizeof(command),
             "cd '%s' && bash -c 'set -euo pipefail; source tests/lib/common.sh;"
             " source tests/lib/clusters.sh; %s' </dev/null",
             TROTH_SOURCE, line);
    if (system(command) != 0)
        fail_msg("failed: %s", line);
}

/* A cluster beside the others, as initdb makes it: it can't prepare transactions. */
static int make_spare(void **state)
{
    static char data[300], conninfo[400];
    const char *payments = getenv("TROTH_TEST_PG_PAYMENTS_DATA");
    snprintf(data, sizeof(data), "%.*s/spare", (int)(strrchr(payments, '/') - payments), payments);
    setenv("TROTH_TEST_PG_SPARE_DATA", data, 1);
    snprintf(conninfo, sizeof(conninfo), "host=%s dbname=postgres user=postgres", data);
    shell("data=$(cluster_data spare); rm -rf $data;"
          " as_postgres $TROTH_TEST_PG_BIN/initdb -D $data -U postgres --auth=trust --no-sync"
          "   --encoding=UTF8 --locale=C.UTF-8 >/dev/null;"
          " printf \"%s = \\x27%s\\x27\\n\" listen_addresses \"\" unix_socket_directories $data"
          "   >>$data/postgresql.conf;"
          " cluster_start spare");
    *state = conninfo;
    return 0;
}

static int drop_spare(void **state)
{
    (void)state;
    shell("cluster_stop spare; rm -rf $(cluster_data spare)");
    return 0;
}

static void a_server_that_can_not_prepare_is_refused_with_the_setting_to_change(void **state)
{
    struct rig rig = {.conninfo = *state};
    const struct pg_config config = {.conninfo = *state, .connections = 2};
    struct error error;
    assert_false(check(*state, &error));
    assert_non_null(strstr(error.message, "max_prepared_transactions = 0"));
    assert_non_null(strstr(error.hint, "max_prepared_transactions = 100"));
    assert_non_null(strstr(error.hint, "restart"));
    rig_start(&rig, 2);
    rig_until_count(&rig, &rig.downs, 1, "the port refuses the server");
    assert_non_null(strstr(rig.down_reason, "max_prepared_transactions = 0"));
    assert_int_equal(rig.ups, 0);
    rig.side = PQconnectdb(rig.conninfo);
    rig_sql(&rig, "alter system set max_prepared_transactions = 10");
    PQfinish(rig.side);
    assert_true(pg_install(&config, &error));
    shell("cluster_restart spare");
    rig_until_count(&rig, &rig.ups, 1, "the port takes the server after the change");
    rig_stop(&rig);
}

static void a_broken_conninfo_is_refused_without_quoting_it(void **state)
{
    (void)state;
    struct error error;
    assert_false(check("host=/tmp password=one secret", &error));
    assert_int_equal(error.kind, ERROR_USAGE);
    char text[1200];
    assert_null(strstr(error_format(&error, text, sizeof(text)), "secret"));
}

static void a_server_that_is_not_there_is_told_with_its_place(void **state)
{
    (void)state;
    struct error error;
    assert_false(check("host=/nonexistent dbname=x", &error));
    assert_int_equal(error.kind, ERROR_UNREACHABLE);
    assert_non_null(strstr(error.detail, "/nonexistent"));
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(installing_twice_is_fine_and_the_check_passes),
        WITH_RIG(the_check_names_the_command_when_the_schema_is_missing),
        WITH_RIG(the_check_names_the_command_when_a_table_is_missing),
        WITH_RIG(the_check_names_every_statement_that_the_server_refuses),
        WITH_RIG(the_check_refuses_a_newer_schema),
        WITH_RIG(an_older_schema_is_refused_and_brought_up_to_date),
        WITH_RIG(why_a_connection_can_not_be_used_is_why_the_database_is_down),
        WITH_RIG(the_schema_without_results_is_brought_up_to_date),
        WITH_RIG(a_check_of_the_register_goes_with_the_next_install),
        WITH_RIG(a_role_without_rights_is_told_what_it_needs),
        cmocka_unit_test_setup_teardown(
            a_server_that_can_not_prepare_is_refused_with_the_setting_to_change, make_spare,
            drop_spare),
        cmocka_unit_test(a_broken_conninfo_is_refused_without_quoting_it),
        cmocka_unit_test(a_server_that_is_not_there_is_told_with_its_place),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (!getenv("TROTH_TEST_PG_PAYMENTS") || !getenv("TROTH_TEST_PG_PAYMENTS_DATA")) {
        puts("Bail out! TROTH_TEST_PG_PAYMENTS is not set: run it by tests/run");
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
