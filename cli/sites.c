#include "cli/sites.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/table.h"
#include "cli/tx.h"
#include "core/check.h"

bool is_three_phase(const Wire__TransactionView *tx)
{
    return tx->protocol == WIRE__PROTOCOL__THREE_PHASE;
}

static const char *value_word(Wire__Value value)
{
    return value == WIRE__VALUE__COMMIT ? "commit" : value == WIRE__VALUE__ABORT ? "abort" : NULL;
}

const char *decision_known(const Wire__TransactionView *tx)
{
    for (size_t i = 0; i < tx->n_sites; i++) {
        const Wire__SiteView *site = tx->sites[i];
        if (site->heard && site->decided && value_word(site->value))
            return value_word(site->value);
    }
    return NULL;
}

const char *phase_meaning(const char *phase)
{
    static const char *const meanings[][2] = {
        {"can-commit", "the votes are gathered; without all of them it aborts"},
        {"pre-commit", "all have voted yes; a majority of the sites decides"},
        {"do-commit", "decided; each branch carries it out"},
    };
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        if (strcmp(phase, meanings[i][0]) == 0)
            return meanings[i][1];
    }
    return NULL;
}

/* ---- ballots ------------------------------------------------------------------------------ */

/* A ballot as the docs write it, the site by its name: 2.payments. A new text. */
static char *ballot_text(const Wire__TransactionView *tx, const Wire__Ballot *ballot)
{
    uint32_t round = ballot ? ballot->round : 0, number = ballot ? ballot->site : 0;
    for (size_t i = 0; i < tx->n_sites; i++) {
        if (tx->sites[i]->site == number && *tx->sites[i]->name)
            return xasprintf("%" PRIu32 ".%s", round, tx->sites[i]->name);
    }
    return xasprintf("%" PRIu32 ".%" PRIu32, round, number);
}

/* Nobody needs a promise for the coordinator's own ballot 0. */
static bool ballot_is_own(const Wire__Ballot *ballot)
{
    return !ballot || (ballot->round == 0 && ballot->site == 0);
}

static bool ballot_same(const Wire__Ballot *a, const Wire__Ballot *b)
{
    return (a ? a->round : 0) == (b ? b->round : 0) && (a ? a->site : 0) == (b ? b->site : 0);
}

/* What a site last said of its register, in words. A new text. */
static char *register_text(const Wire__TransactionView *tx, const Wire__SiteView *site)
{
    const char *value = value_word(site->value);
    if (!site->heard)
        return xstrdup("not heard");
    if (site->decided)
        return xasprintf("knows %s", value ? value : "the decision");
    if (!value && ballot_is_own(site->promised))
        return xstrdup("empty");
    char *promised = ballot_text(tx, site->promised), *text;
    if (!value) {
        text = xasprintf("promised %s", promised);
    } else {
        char *accepted = ballot_text(tx, site->accepted);
        text = ballot_same(site->promised, site->accepted)
                   ? xasprintf("accepted %s at %s", value, accepted)
                   : xasprintf("accepted %s at %s, promised %s", value, accepted, promised);
        free(accepted);
    }
    free(promised);
    return text;
}

/* ---- what is printed ---------------------------------------------------------------------- */

void print_sites(const Wire__TransactionView *tx)
{
    static const char *const headers[] = {"SITE", "NAME", "REACHED", "REGISTER", NULL};
    struct table table = {0};
    if (tx->n_sites == 0)
        return;
    putchar('\n');
    table_begin(&table, headers);
    for (size_t i = 0; i < tx->n_sites; i++) {
        const Wire__SiteView *site = tx->sites[i];
        char *text = register_text(tx, site);
        table_add_format(&table, "%" PRIu32, site->site);
        table_add(&table, site->name);
        table_add(&table, site->reachable ? "yes" : "no");
        table_add(&table, text);
        free(text);
    }
    table_end(&table, stdout, 0);
}

void json_ballot(struct json_writer *writer, const char *name, const Wire__Ballot *ballot,
                 bool known)
{
    json_name(writer, name);
    if (!known) {
        json_string(writer, NULL);
        return;
    }
    json_open(writer, '{');
    json_name(writer, "round");
    json_unsigned(writer, ballot ? ballot->round : 0);
    json_name(writer, "site");
    json_unsigned(writer, ballot ? ballot->site : 0);
    json_close(writer, '}');
}

static void json_site(struct json_writer *writer, const Wire__TransactionView *tx,
                      const Wire__SiteView *site)
{
    char *text = register_text(tx, site);
    bool undecided = site->heard && !site->decided;
    const char *value = site->heard ? value_word(site->value) : NULL;
    json_open(writer, '{');
    json_name(writer, "site");
    json_unsigned(writer, site->site);
    json_text(writer, "name", site->name);
    json_text(writer, "address", site->address);
    json_name(writer, "reachable");
    json_boolean(writer, site->reachable);
    json_text(writer, "register", text);
    json_name(writer, "heard");
    json_boolean(writer, site->heard);
    json_name(writer, "decided");
    json_boolean(writer, site->heard && site->decided);
    json_text(writer, "value", value);
    json_ballot(writer, "promised", site->promised, undecided);
    json_ballot(writer, "accepted", site->accepted, undecided && value);
    json_close(writer, '}');
    free(text);
}

void json_three_phase(struct json_writer *writer, const Wire__TransactionView *tx)
{
    json_text(writer, "phase", tx->phase);
    json_text(writer, "terminator", tx->terminator);
    json_name(writer, "sites");
    json_open(writer, '[');
    for (size_t i = 0; i < tx->n_sites; i++)
        json_site(writer, tx, tx->sites[i]);
    json_close(writer, ']');
}
