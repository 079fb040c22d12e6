#include "core/id.h"

#include <string.h>

#include "core/check.h"
#include "core/map.h"

#define STRINGIFY_(x) #x
#define STRINGIFY(x)  STRINGIFY_(x)
const char name_rule[] = "1 to " STRINGIFY(LIMIT_NAME_BYTES) " of A-Z a-z 0-9 _ -";

static const char prefix[] = "troth.";

int txid_compare(struct txid a, struct txid b)
{
    if (a.epoch != b.epoch)
        return a.epoch < b.epoch ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

bool txid_equal(struct txid a, struct txid b)
{
    return a.epoch == b.epoch && a.seq == b.seq;
}

uint64_t txid_hash(struct txid id)
{
    return hash_u64(id.epoch * 0x9e3779b97f4a7c15u + id.seq);
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool name_character(char c)
{
    return letter(c) || digit(c) || c == '_' || c == '-';
}

bool name_valid(const char *name)
{
    size_t size = 0;
    while (name_character(name[size]))
        size++;
    return name[size] == '\0' && size >= 1 && size <= LIMIT_NAME_BYTES;
}

bool word_valid(const char *word)
{
    size_t size = 0;
    while (letter(word[size]) || word[size] == '_' || (size > 0 && digit(word[size])))
        size++;
    return word[size] == '\0' && size >= 1 && size <= LIMIT_WORD_BYTES;
}

/* Ids are formatted for each message: by printf that was a twentieth of an agent's time. What does
 * not fit before `end` ends the process. */
static char *put_text(char *at, const char *end, const char *text)
{
    size_t size = strlen(text);
    CHECK(size < (size_t)(end - at));
    memcpy(at, text, size + 1);
    return at + size;
}

static char *put_number(char *at, const char *end, uint64_t number)
{
    char digits[24], *digit = &digits[sizeof(digits) - 1];
    *digit = '\0';
    do {
        *--digit = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    *--digit = '.';
    return put_text(at, end, digit);
}

static char *put_gtrid(char *at, const char *end, const char *cluster, const char *coordinator,
                       struct txid tx)
{
    at = put_text(at, end, cluster);
    at = put_text(at, end, ".");
    at = put_text(at, end, coordinator);
    at = put_number(at, end, tx.epoch);
    return put_number(at, end, tx.seq);
}

void gtrid_format(gtrid_text out, const char *cluster, const char *coordinator, struct txid tx)
{
    (void)put_gtrid(out, out + LIMIT_GTRID_BYTES + 1, cluster, coordinator, tx);
}

void gid_format(gid_text out, const char *cluster, const char *coordinator, struct txid tx,
                int branch)
{
    const char *end = out + LIMIT_GID_BYTES + 1;
    CHECK(branch >= 0 && branch < LIMIT_BRANCHES);
    char *at = put_text(out, end, prefix);
    at = put_gtrid(at, end, cluster, coordinator, tx);
    (void)put_number(at, end, (uint64_t)branch);
}

/* Takes a name and the dot behind it from *at. */
static bool take_name(const char **at, char *out)
{
    size_t size = 0;
    while (size <= LIMIT_NAME_BYTES && name_character((*at)[size]))
        size++;
    if (size == 0 || size > LIMIT_NAME_BYTES || (*at)[size] != '.')
        return false;
    memcpy(out, *at, size);
    out[size] = '\0';
    *at += size + 1;
    return true;
}

static bool take_number(const char **at, uint64_t *out)
{
    const char *c = *at;
    if (!digit(*c) || (c[0] == '0' && digit(c[1])))
        return false;
    uint64_t value = 0;
    for (; digit(*c); c++) {
        unsigned next = (unsigned)(*c - '0');
        if (value > (UINT64_MAX - next) / 10)
            return false;
        value = value * 10 + next;
    }
    *out = value;
    *at = c;
    return true;
}

static bool take_gtrid(const char **at, struct gid *out)
{
    return take_name(at, out->cluster) && take_name(at, out->coordinator) &&
           take_number(at, &out->tx.epoch) && *(*at)++ == '.' && take_number(at, &out->tx.seq);
}

bool gtrid_parse(const char *text, struct gid *out)
{
    out->branch = -1;
    return take_gtrid(&text, out) && *text == '\0';
}

bool gid_parse(const char *text, struct gid *out)
{
    uint64_t branch;
    if (strncmp(text, prefix, sizeof(prefix) - 1) != 0)
        return false;
    text += sizeof(prefix) - 1;
    if (!take_gtrid(&text, out) || *text++ != '.' || !take_number(&text, &branch) ||
        *text != '\0' || branch >= LIMIT_BRANCHES)
        return false;
    out->branch = (int)branch;
    return true;
}
