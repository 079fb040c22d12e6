/* transfer ada north south 25: moves money of hers from one bank's database to another's, in both
 * or in neither. north and south are participants, and services of libpq (pg_service.conf). */
#include <stdio.h>
#include <string.h>
#include <troth.h>

static PGconn *connect_to(const char *bank)
{
    const char *const names[] = {"service", "connect_timeout", NULL};
    return PQconnectdbParams(names, (const char *const[]){bank, "5", NULL}, false);
}

/* Adds an amount, which may be less than 0, to the owner's account there. */
static bool add(struct troth_tx *tx, PGconn *connection, const char *bank, const char *owner,
                const char *amount, struct troth_result *result)
{
    if (troth_join(tx, connection, bank, result) != TROTH_OK)
        return false;
    PGresult *changed =
        PQexecParams(connection, "update account set balance = balance + $2 where owner = $1", 2,
                     NULL, (const char *const[]){owner, amount}, NULL, NULL, 0);
    bool done = strcmp(PQcmdTuples(changed), "1") == 0;
    if (!done)
        fprintf(stderr, "%s: %s\n", bank,
                PQresultStatus(changed) == PGRES_COMMAND_OK ? "no such account"
                                                            : PQresultErrorMessage(changed));
    PQclear(changed);
    return done;
}

int main(int argc, char **argv)
{
    if (argc != 5 || strspn(argv[4], "0123456789.") != strlen(argv[4]) || strlen(argv[4]) > 20) {
        fprintf(stderr, "usage: transfer OWNER FROM TO AMOUNT\n");
        return 2;
    }
    PGconn *from = connect_to(argv[2]), *to = connect_to(argv[3]);
    char less[32];
    snprintf(less, sizeof(less), "-%s", argv[4]);
    struct troth_result result = {0};
    struct troth *troth = troth_open(NULL, &result); /* at $TROTH_COORDINATOR */
    struct troth_tx *tx = NULL;
    bool moved = troth && troth_begin(troth, NULL, &tx, &result) == TROTH_OK &&
                 add(tx, from, argv[2], argv[1], less, &result) &&
                 add(tx, to, argv[3], argv[1], argv[4], &result) &&
                 troth_commit(tx, &result) == TROTH_OK;
    bool unknown = result.status == TROTH_UNKNOWN; /* a lost answer: troth tx show ID tells */
    printf("%s %s\n", moved ? "moved" : unknown ? "unknown" : "not moved", result.id);
    if (!moved)
        fprintf(stderr, "%s\n", result.problem.message);
    troth_tx_free(tx); /* before its connections: it ends what they are at */
    PQfinish(from);
    PQfinish(to);
    troth_result_clear(&result);
    troth_close(troth);
    return moved ? 0 : unknown ? 5 : 1;
}
