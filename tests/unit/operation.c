#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "participant/operation.h"

static struct operation_set set;

static int make_charge(void **state)
{
    (void)state;
    struct error error = {0};
    struct operation *charge = operation_add(&set, "charge", false, &error);
    assert_non_null(charge);
    assert_true(operation_parameter_add(charge, "order_id", "text", &error));
    assert_true(operation_parameter_add(charge, "amount", "numeric", &error));
    assert_true(operation_parameter_add(charge, "count", "integer", &error));
    assert_true(operation_parameter_add(charge, "gift", "boolean", &error));
    assert_true(operation_parameter_add(charge, "extra", "jsonb", &error));
    assert_true(operation_statement_add(charge, "update a set b = b - :amount where c = :order_id",
                                        1, "insufficient_funds", DB_NO_RESULT, &error));
    assert_true(operation_statement_add(
        charge, "insert into d values (:order_id, :amount, :count, :gift, :extra) returning id", -1,
        NULL, DB_ROW, &error));
    assert_true(operation_check(charge, &error));
    return 0;
}

static int end_set(void **state)
{
    (void)state;
    operation_set_fini(&set);
    return 0;
}

static const char good[] = "{\"order_id\":\"o1\",\"amount\":12.50,\"count\":3,\"gift\":true,"
                           "\"extra\":{\"a\": [1]}}";

static void statements_are_loaded_with_types_and_stable_names(void **state)
{
    (void)state;
    const struct operation *charge = operation_find(&set, "charge");
    assert_non_null(charge);
    assert_null(operation_find(&set, "chargex"));
    const struct operation_statement *first = &charge->statements[0];
    assert_string_equal(first->name, "troth_charge_1");
    assert_string_equal(first->sql, "update a set b = b - $1 where c = $2");
    assert_int_equal(first->parameter_count, 2);
    assert_string_equal(first->types[0], "numeric");
    assert_string_equal(first->types[1], "text");
    assert_int_equal(first->expect_rows, 1);
    assert_string_equal(first->otherwise, "insufficient_funds");
    assert_string_equal(charge->statements[1].name, "troth_charge_2");
    assert_null(charge->statements[1].otherwise);
}

static void arguments_are_bound_as_they_were_written(void **state)
{
    (void)state;
    struct error error = {0};
    struct operation_binding binding;
    assert_true(
        operation_bind(operation_find(&set, "charge"), good, strlen(good), 7, &binding, &error));
    assert_int_equal(binding.count, 2);
    const struct db_statement *insert = &binding.statements[1];
    assert_int_equal(insert->call, 7);
    assert_int_equal(insert->shape, DB_ROW);
    assert_string_equal(binding.statements[0].values[0], "12.50");
    assert_string_equal(binding.statements[0].values[1], "o1");
    assert_string_equal(insert->values[0], "o1");
    assert_string_equal(insert->values[2], "3");
    assert_string_equal(insert->values[3], "true");
    assert_string_equal(insert->values[4], "{\"a\": [1]}");
    operation_binding_fini(&binding);
}

static void null_is_null_whatever_the_type(void **state)
{
    (void)state;
    struct error error = {0};
    struct operation_binding binding;
    const char *text =
        "{\"order_id\":null,\"amount\":null,\"count\":null,\"gift\":null,\"extra\":null}";
    assert_true(
        operation_bind(operation_find(&set, "charge"), text, strlen(text), 0, &binding, &error));
    for (int i = 0; i < 5; i++)
        assert_null(binding.statements[1].values[i]);
    operation_binding_fini(&binding);
}

/* Replaces `from` in the good arguments and expects the message, and a part of the hint. */
static void wrong(const char *from, const char *to, const char *message, const char *hint)
{
    char text[512];
    const char *at = strstr(good, from);
    assert_non_null(at);
    snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    struct error error = {0};
    struct operation_binding binding;
    if (operation_bind(operation_find(&set, "charge"), text, strlen(text), 0, &binding, &error)) {
        operation_binding_fini(&binding);
        fail_msg("accepted: %s", text);
    }
    assert_string_equal(error.message, message);
    if (!strstr(error.hint, hint))
        fail_msg("\"%s\" does not hint at \"%s\"", error.hint, hint);
}

static void wrong_arguments_are_told_precisely(void **state)
{
    (void)state;
    wrong("12.50", "\"12\"", "argument amount: expected a number (numeric), got a string \"12\"",
          "");
    wrong("12.50", "true", "argument amount: expected a number (numeric), got true", "");
    wrong("12.50", "[1]", "argument amount: expected a number (numeric), got an array", "");
    wrong("\"o1\"", "17", "argument order_id: expected a string (text), got the number 17", "");
    wrong(":3,", ":3.0,", "argument count: expected a whole number (integer), got the number 3.0",
          "");
    wrong(":3,", ":1e3,", "argument count: expected a whole number (integer), got the number 1e3",
          "");
    wrong(":3,", ":2147483648,", "argument count: 2147483648 is out of the range of integer", "");
    wrong(":3,", ":-99999999999999999999,",
          "argument count: -99999999999999999999 is out of the range of integer", "");
    wrong("true", "\"true\"",
          "argument gift: expected true or false (boolean), got a string \"true\"", "");
    wrong("true", "1", "argument gift: expected true or false (boolean), got the number 1", "");
    wrong("\"amount\"", "\"amonut\"", "unknown argument \"amonut\"", "did you mean amount?");
    wrong("\"gift\":true,", "", "argument gift (boolean) is missing",
          "charge takes order_id (text), amount (numeric)");
    wrong("{\"order_id\"", "{\"zzzzzzz\":1,\"order_id\"", "unknown argument \"zzzzzzz\"",
          "charge takes order_id (text)");
    wrong(good, "[1,2]", "the arguments must be a JSON object, got an array", "charge takes");
    wrong(good, "",
          "not valid JSON at line 1, column 1: expected a value, found the end of the text",
          "charge takes");
}

static void parameter_refused(const char *name, const char *type, const char *part)
{
    struct operation_set other = {0};
    struct error error = {0};
    struct operation *operation = operation_add(&other, "x", false, &error);
    assert_true(operation_parameter_add(operation, "known", "text", &error));
    assert_false(operation_parameter_add(operation, name, type, &error));
    if (!strstr(error.message, part))
        fail_msg("\"%s\" does not tell \"%s\"", error.message, part);
    operation_set_fini(&other);
}

static void types_are_checked_when_loaded(void **state)
{
    (void)state;
    parameter_refused("a", "text[]", "array types (text[]) are not supported");
    parameter_refused("a", "numeric(12,2)", "has no length");
    parameter_refused("a", "text; drop table x", "is not a type's name");
    parameter_refused("a", "", "is not a type's name");
    parameter_refused("a", "a.b.c", "is not a type's name");
    parameter_refused("1a", "text", "can't be the name");
    parameter_refused("known", "text", "declared twice");
    struct operation_set other = {0};
    struct error error = {0};
    struct operation *operation = operation_add(&other, "x", false, &error);
    assert_true(operation_parameter_add(operation, "a", "double precision", &error));
    assert_true(operation_parameter_add(operation, "b", "shop.mood", &error));
    assert_true(operation_parameter_add(operation, "c", "timestamp with time zone", &error));
    operation_set_fini(&other);
}

static void operations_are_checked_when_loaded(void **state)
{
    (void)state;
    struct operation_set other = {0};
    struct error error = {0};
    assert_null(operation_add(&other, "bad-name", false, &error));
    struct operation *operation = operation_add(&other, "x", false, &error);
    assert_null(operation_add(&other, "x", false, &error));
    assert_string_equal(error.message, "operation x is defined twice");
    assert_false(operation_check(operation, &error));
    assert_string_equal(error.message, "operation x has no statement");
    assert_true(operation_parameter_add(operation, "amount", "numeric", &error));
    assert_false(operation_statement_add(operation, "select :amuont", -1, NULL, DB_ROW, &error));
    assert_string_equal(error.message, "the SQL uses :amuont, which params does not declare");
    assert_string_equal(error.hint, "did you mean :amount?");
    assert_false(operation_statement_add(operation, "select 1", 1, "not one word", DB_ROW, &error));
    assert_false(operation_statement_add(operation, "select 1", -1, "reason", DB_ROW, &error));
    assert_true(operation_statement_add(operation, "select 1", 1, NULL, DB_ROW, &error));
    assert_string_equal(operation->statements[0].otherwise, "unexpected_rows");
    assert_false(operation_check(operation, &error));
    assert_string_equal(error.message, "parameter amount is declared, but no statement uses it");
    operation_set_fini(&other);
}

static void long_names_give_different_statement_names_that_postgresql_does_not_cut(void **state)
{
    (void)state;
    struct operation_set other = {0};
    struct error error = {0};
    char name[64];
    memset(name, 'a', 63);
    name[63] = '\0';
    for (int i = 0; i < 2; i++) {
        name[62] = (char)('a' + i);
        struct operation *operation = operation_add(&other, name, false, &error);
        assert_true(operation_statement_add(operation, "select 1", -1, NULL, DB_ROW, &error));
    }
    const char *first = other.operations[0].statements[0].name;
    const char *second = other.operations[1].statements[0].name;
    assert_in_range(strlen(first), 1, 63);
    assert_in_range(strlen(second), 1, 63);
    assert_string_not_equal(first, second);
    operation_set_fini(&other);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statements_are_loaded_with_types_and_stable_names),
        cmocka_unit_test(arguments_are_bound_as_they_were_written),
        cmocka_unit_test(null_is_null_whatever_the_type),
        cmocka_unit_test(wrong_arguments_are_told_precisely),
        cmocka_unit_test(types_are_checked_when_loaded),
        cmocka_unit_test(operations_are_checked_when_loaded),
        cmocka_unit_test(long_names_give_different_statement_names_that_postgresql_does_not_cut),
    };
    return cmocka_run_group_tests_name("operation", tests, make_charge, end_set);
}
