#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "participant/sql_template.h"

/* names: of $1, $2 ... with a comma between. */
static void becomes(const char *text, const char *sql, const char *names)
{
    struct error error = {0};
    struct sql_template parsed;
    if (!sql_template_parse(text, strlen(text), &parsed, &error))
        fail_msg("%s: %s", text, error.message);
    char joined[256] = "";
    for (int i = 0; i < parsed.count; i++) {
        strcat(joined, i ? "," : "");
        strcat(joined, parsed.names[i]);
    }
    assert_string_equal(parsed.sql, sql);
    assert_string_equal(joined, names);
    sql_template_fini(&parsed);
}

static void unchanged(const char *text)
{
    becomes(text, text, "");
}

static void refused(const char *text, const char *part)
{
    struct error error = {0};
    struct sql_template parsed;
    if (sql_template_parse(text, strlen(text), &parsed, &error)) {
        sql_template_fini(&parsed);
        fail_msg("accepted: %s", text);
    }
    assert_int_equal(error.kind, ERROR_USAGE);
    if (!strstr(error.message, part))
        fail_msg("%s: \"%s\" does not tell \"%s\"", text, error.message, part);
}

static void names_become_numbers_in_the_order_of_first_use(void **state)
{
    (void)state;
    becomes("select :b, :a, :b", "select $1, $2, $1", "b,a");
    becomes("update t set x=x-:amount where c=:c and x>=:amount",
            "update t set x=x-$1 where c=$2 and x>=$1", "amount,c");
    becomes("select :a_1+:_x9", "select $1+$2", "a_1,_x9");
}

static void casts_assignments_and_slices_are_no_parameters(void **state)
{
    (void)state;
    becomes("select :a::text, '1'::int", "select $1::text, '1'::int", "a");
    becomes("select f(x := :a, y=>2)", "select f(x := $1, y=>2)", "a");
    unchanged("select a[1:2], a[:2], a[1:]");
    unchanged("select a[1: n]");
    becomes("select a[1: :n], a[:m]", "select a[1: $1], a[$2]", "n,m");
    refused("select a[1:n]", "column 11: put a space before a parameter");
    refused("select a[b:n]", "put a space");
    refused("select a[b[1]:n]", "put a space");
    refused("select :a:b", "put a space");
    becomes("select :a::\"Type\"", "select $1::\"Type\"", "a");
}

static void strings_hide_what_they_hold(void **state)
{
    (void)state;
    unchanged("select ':a ; -- /* $1', 'it''s :b'");
    unchanged("select E'it\\'s :a', e'\\\\', U&'\\0041:a', b'1', x'f'");
    becomes("select 'a\\', :b, 'c'", "select 'a\\', $1, 'c'", "b");
    unchanged("select E'a'\n'b\\':c'");
    unchanged("select E'a' -- why\n  'b\\':c'");
    becomes("select E'a', 'b\\', :c, 'd'", "select E'a', 'b\\', $1, 'd'", "c");
    becomes("select type'a\\', :b, 'c'", "select type'a\\', $1, 'c'", "b");
    becomes("select '', :a", "select '', $1", "a");
}

static void quoted_identifiers_hide_what_they_hold(void **state)
{
    (void)state;
    unchanged("select \":a;\", \"x\"\"y:b\" from \"t--\"");
    becomes("select \"it's\", :a", "select \"it's\", $1", "a");
}

static void dollar_quotes_hide_what_they_hold(void **state)
{
    (void)state;
    unchanged("select $$:a; it's$$, $tag$ :b $$ $other$ $tag$");
    becomes("select $$a$$ || :b", "select $$a$$ || $1", "b");
    unchanged("select a$b$c, d$1 from t$x$");
    becomes("select a$b$, :c", "select a$b$, $1", "c");
    unchanged("select $\xc3\xa9$:a$\xc3\xa9$");
}

static void comments_hide_what_they_hold(void **state)
{
    (void)state;
    becomes("select 1 -- :a ' ; $1\n, :b", "select 1 -- :a ' ; $1\n, $1", "b");
    unchanged("select /* :a /* ' */ ; */ 1");
    becomes("select 1 /* a */ - :b", "select 1 /* a */ - $1", "b");
    becomes("select 6/:a, 2*:b, 3-:c", "select 6/$1, 2*$2, 3-$3", "a,b,c");
}

static void one_semicolon_may_end_the_statement(void **state)
{
    (void)state;
    becomes("select 1;", "select 1", "");
    becomes("  select 1 ; -- done\n /* really */ ", "select 1", "");
    refused("select 1; select 2", "SQL, line 1, column 11: a second statement");
    refused("select 1;;", "a second statement");
    refused("select 1;\n\n  :a", "line 3, column 3: a second statement");
    refused("select 1; /*", "a comment that does not end");
}

static void unterminated_text_is_refused_where_it_begins(void **state)
{
    (void)state;
    refused("select\n 'abc", "line 2, column 2: a string that does not end");
    refused("select 'a''", "a string that does not end");
    refused("select E'a\\'", "a string that does not end");
    refused("select E'a\\", "a string that does not end");
    refused("select E'a'\n'b\\'", "line 2, column 1: a string that does not end");
    refused("select \"abc", "a quoted identifier that does not end");
    refused("select $$abc$", "column 8: a dollar-quoted string that does not end");
    refused("select $a$ $b$ $A$", "a dollar-quoted string that does not end");
    refused("select /* /* */", "column 8: a comment that does not end");
    refused("é 'x", "line 1, column 3: a string");
}

static void numbered_parameters_are_refused(void **state)
{
    (void)state;
    refused("select $1", "SQL, line 1, column 8: a parameter is written :name");
    refused("select :a + $2", "column 13");
}

static void nothing_is_refused(void **state)
{
    (void)state;
    refused("", "there is no statement");
    refused(" \n", "there is no statement");
    refused("-- only a comment", "there is no statement");
    refused(";", "there is no statement");
}

static void statements_that_a_branch_cannot_hold_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"begin",
                                      "start transaction",
                                      "COMMIT",
                                      "commit prepared 'x'",
                                      "end",
                                      "rollback",
                                      "abort",
                                      "savepoint a",
                                      "release a",
                                      "prepare transaction 'x'",
                                      "execute a",
                                      "deallocate all",
                                      "discard all",
                                      "reset all",
                                      "listen a",
                                      "unlisten *",
                                      "notify a",
                                      "vacuum",
                                      "copy t from stdin",
                                      "set a = 1",
                                      "set session a = 1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        refused(bad[i], "an operation can't use ");
    refused("-- harmless?\n /* no */ CoMmIt", "line 2, column 11: an operation can't use COMMIT");
    unchanged("set local work_mem = '1MB'");
    unchanged("SET  transaction isolation level serializable");
    unchanged("set constraints all immediate");
    unchanged("(select 1)");
    unchanged("with x as (select 1) select * from x");
    unchanged("commitment()");
}

static void too_long_a_name_is_refused(void **state)
{
    (void)state;
    char text[100] = "select :";
    memset(text + 8, 'a', 64);
    refused(text, "a parameter's name is too long");
    text[8 + 63] = '\0';
    becomes(text, "select $1", text + 8);
}

static void is_of_form(const char *text, enum db_form form)
{
    struct error error = {0};
    struct sql_template parsed;
    if (!sql_template_parse(text, strlen(text), &parsed, &error))
        fail_msg("%s: %s", text, error.message);
    if (parsed.form != form)
        fail_msg("%s: form %d, not %d", text, (int)parsed.form, (int)form);
    sql_template_fini(&parsed);
}

static void the_form_of_a_statement_is_known_only_where_it_is_certain(void **state)
{
    (void)state;
    is_of_form("update t set a = :a where b = :b", DB_CHANGE);
    is_of_form("-- first\n /* then */ INSERT into t values (:a)", DB_CHANGE);
    is_of_form("Delete from t where a = 'returning' and \"returning\" = $x$ returning $x$;",
               DB_CHANGE);
    is_of_form("delete from t -- returning\n where returning_it = 1 and a.b_returning = 2",
               DB_CHANGE);
    is_of_form("insert into t values (:a) returning id", DB_RETURNS);
    is_of_form("update t set a = 1 RETURNING(a)", DB_RETURNS);
    is_of_form("delete from t where a=:a/**/returning*", DB_RETURNS);
    is_of_form("with x as (delete from t returning a) insert into u select a from x", DB_PLAIN);
    is_of_form("select f(:a)", DB_PLAIN);
    is_of_form("merge into t using u on a = b when matched then do nothing", DB_PLAIN);
    is_of_form("(select 1)", DB_OTHER);
    is_of_form("call p(:a)", DB_OTHER);
    is_of_form("do $$ begin commit; end $$", DB_OTHER);
    is_of_form("lock table t", DB_OTHER);
    is_of_form("set local x = 'insert'", DB_OTHER);
    is_of_form("create table insert_returning (a int)", DB_OTHER);
    is_of_form("explain analyze update t set a = 1", DB_OTHER);
    is_of_form("inserting", DB_OTHER);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_form_of_a_statement_is_known_only_where_it_is_certain),
        cmocka_unit_test(names_become_numbers_in_the_order_of_first_use),
        cmocka_unit_test(casts_assignments_and_slices_are_no_parameters),
        cmocka_unit_test(strings_hide_what_they_hold),
        cmocka_unit_test(quoted_identifiers_hide_what_they_hold),
        cmocka_unit_test(dollar_quotes_hide_what_they_hold),
        cmocka_unit_test(comments_hide_what_they_hold),
        cmocka_unit_test(one_semicolon_may_end_the_statement),
        cmocka_unit_test(unterminated_text_is_refused_where_it_begins),
        cmocka_unit_test(numbered_parameters_are_refused),
        cmocka_unit_test(nothing_is_refused),
        cmocka_unit_test(statements_that_a_branch_cannot_hold_are_refused),
        cmocka_unit_test(too_long_a_name_is_refused),
    };
    return cmocka_run_group_tests_name("sql_template", tests, NULL, NULL);
}
