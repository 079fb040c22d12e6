#include "tests/sim/bank.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"

/* What sagas do leaves a mark, with what it was called with, and gives its number. */
#define MARK                                                                                       \
    {                                                                                              \
        EFFECT_MARK,                                                                               \
            "insert into mark (mark, account, amount, seen) values (:mark, :account, :amount, "    \
            ":seen) "                                                                              \
            "returning n",                                                                         \
            1, NULL, DB_ROW                                                                        \
    }
#define UNMARK                                                                                     \
    {                                                                                              \
        EFFECT_UNMARK,                                                                             \
            "insert into unmark (mark, account, amount, seen) values (:mark, :account, :amount, "  \
            ":seen) "                                                                              \
            "returning n",                                                                         \
            1, NULL, DB_ROW                                                                        \
    }
#define MARK_PARAMETERS                                                                            \
    {                                                                                              \
        "account", "amount", "mark", "seen"                                                        \
    }
#define HESITATE                                                                                   \
    {                                                                                              \
        EFFECT_HESITATE, "select 1 from mood where mark = :mark and ready", 1, "not_today",        \
            DB_NO_RESULT                                                                           \
    }

static const struct {
    const char *operation;
    bool read_only;
    const char *parameters[4];
    const struct {
        enum effect_kind kind;
        const char *sql;
        int64_t expect_rows;
        const char *otherwise;
        enum db_shape shape;
    } statements[3];
} catalogue[] = {
    {"charge",
     false,
     {"account", "amount", "token"},
     {{EFFECT_DEBIT,
       "update account set balance = balance - :amount where id = :account and balance >= :amount",
       1, "insufficient_funds", DB_NO_RESULT},
      {EFFECT_TOKEN, "insert into ledger (token) values (:token) returning token", 1, NULL,
       DB_ROW}}},
    {"credit",
     false,
     {"account", "amount", "token"},
     {{EFFECT_CREDIT, "update account set balance = balance + :amount where id = :account", 1,
       "no_such_account", DB_NO_RESULT},
      {EFFECT_TOKEN, "insert into ledger (token) values (:token) returning token", 1, NULL,
       DB_ROW}}},
    {"record",
     false,
     {"token"},
     {{EFFECT_TOKEN, "insert into ledger (token) values (:token) returning token", 1, NULL,
       DB_ROW}}},
    {"balance",
     true,
     {"account"},
     {{EFFECT_READ, "select balance from account where id = :account", -1, NULL, DB_ROW}}},
    /* Not declared read only, and yet writes nothing: prepared all the same. */
    {"probe",
     false,
     {"account"},
     {{EFFECT_READ, "select balance from account where id = :account", -1, NULL, DB_ROW}}},
    {"fail", false, {"token"}, {{EFFECT_ERROR, "select 1 / (:token - :token)", -1, NULL, DB_ROW}}},
    {"withdraw",
     false,
     MARK_PARAMETERS,
     {{EFFECT_DEBIT,
       "update account set balance = balance - :amount where id = :account and balance >= :amount",
       1, "insufficient_funds", DB_NO_RESULT},
      MARK}},
    {"deposit",
     false,
     MARK_PARAMETERS,
     {{EFFECT_CREDIT, "update account set balance = balance + :amount where id = :account", 1,
       "no_such_account", DB_NO_RESULT},
      MARK}},
    {"hesitate",
     false,
     MARK_PARAMETERS,
     {HESITATE,
      {EFFECT_CREDIT, "update account set balance = balance + :amount where id = :account", 1,
       "no_such_account", DB_NO_RESULT},
      MARK}},
    {"look",
     true,
     {"account"},
     {{EFFECT_LOOK, "select nextval('numbers') as n from account where id = :account", 1,
       "no_such_account", DB_ROW}}},
    {"refuse",
     false,
     {"mark"},
     {{EFFECT_REFUSE, "delete from mark where mark = :mark and false", 1, "never", DB_NO_RESULT}}},
    {"give_back",
     false,
     MARK_PARAMETERS,
     {{EFFECT_CREDIT, "update account set balance = balance + :amount where id = :account", 1,
       "no_such_account", DB_NO_RESULT},
      UNMARK}},
    {"take_back",
     false,
     MARK_PARAMETERS,
     {{EFFECT_TAKE, "update account set balance = balance - :amount where id = :account", 1,
       "no_such_account", DB_NO_RESULT},
      UNMARK}},
    {"give_late",
     false,
     MARK_PARAMETERS,
     {HESITATE,
      {EFFECT_CREDIT, "update account set balance = balance + :amount where id = :account", 1,
       "no_such_account", DB_NO_RESULT},
      UNMARK}},
};

enum { OPERATIONS = sizeof(catalogue) / sizeof(catalogue[0]) };

static const char *type_of(const char *parameter)
{
    return strcmp(parameter, "amount") == 0 ? "numeric"
           : strcmp(parameter, "mark") == 0 ? "text"
                                            : "bigint";
}

const struct operation_set *bank_operations(void)
{
    static struct operation_set set;
    if (set.count > 0)
        return &set;
    for (int i = 0; i < OPERATIONS; i++) {
        struct error error = {0};
        struct operation *operation =
            operation_add(&set, catalogue[i].operation, catalogue[i].read_only, &error);
        CHECK(operation != NULL);
        for (int k = 0; k < 4 && catalogue[i].parameters[k]; k++) {
            const char *name = catalogue[i].parameters[k];
            CHECK(operation_parameter_add(operation, name, type_of(name), &error));
        }
        for (int k = 0; k < 3 && catalogue[i].statements[k].sql; k++)
            CHECK(operation_statement_add(
                operation, catalogue[i].statements[k].sql, catalogue[i].statements[k].expect_rows,
                catalogue[i].statements[k].otherwise, catalogue[i].statements[k].shape, &error));
    }
    return &set;
}

static void bind(struct effect *effect, const char *name, const char *value)
{
    CHECK(value != NULL);
    if (strcmp(name, "account") == 0)
        effect->account = atoi(value);
    else if (strcmp(name, "amount") == 0)
        effect->amount = atoll(value);
    else if (strcmp(name, "token") == 0)
        effect->token = strtoull(value, NULL, 10);
    else if (strcmp(name, "seen") == 0)
        effect->seen = atoll(value);
    else if (strcmp(name, "mark") == 0)
        CHECK(snprintf(effect->mark, MARK_BYTES, "%s", value) < MARK_BYTES);
}

struct effect bank_effect(const struct db_statement *statement)
{
    const struct operation_set *set = bank_operations();
    for (int i = 0; i < set->count; i++) {
        const struct operation *operation = &set->operations[i];
        for (int k = 0; k < operation->statement_count; k++) {
            const struct operation_statement *known = &operation->statements[k];
            if (strcmp(known->name, statement->name) != 0)
                continue;
            CHECK(known->parameter_count == statement->parameter_count);
            struct effect effect = {.kind = catalogue[i].statements[k].kind,
                                    .call = statement->call,
                                    .expect_rows = statement->expect_rows,
                                    .otherwise = known->otherwise,
                                    .result = statement->shape != DB_NO_RESULT};
            for (int p = 0; p < known->parameter_count; p++)
                bind(&effect, operation->parameters[known->parameters[p]].name,
                     statement->values[p]);
            return effect;
        }
    }
    CHECK(!"a statement that no operation has");
}
