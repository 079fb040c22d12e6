#include "tests/real/support/points.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/check.h"

enum { POINTS_MOST = 100, NAME_BYTES = 64 };

/* What the sources have: nftw takes no argument of ours. */
static char found[POINTS_MOST][NAME_BYTES];
static size_t found_count;

static void find(const char *name)
{
    for (size_t i = 0; i < found_count; i++) {
        if (strcmp(found[i], name) == 0)
            return;
    }
    assert_true(found_count < POINTS_MOST);
    strcpy(found[found_count++], name);
}

static int look_into(const char *path, const struct stat *facts, int type, struct FTW *place)
{
    static const char mark[] = "CRASH_POINT(\"";
    size_t size = strlen(path);
    (void)facts;
    (void)place;
    if (type != FTW_F || size < 2 || strcmp(path + size - 2, ".c") != 0)
        return 0;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char line[512], name[NAME_BYTES];
    while (fgets(line, sizeof(line), file)) {
        const char *at = strstr(line, mark);
        if (at && sscanf(at + sizeof(mark) - 1, "%63[^\"]", name) == 1)
            find(name);
    }
    fclose(file);
    return 0;
}

static void look_everywhere(void)
{
    static const char *const folders[] = {"coordinator", "participant", "io"};
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        char *path = xasprintf("%s/%s", TROTH_SOURCE, folders[i]);
        assert_int_equal(nftw(path, look_into, 8, FTW_PHYS), 0);
        free(path);
    }
    assert_true(found_count >= 20);
}

static bool is_same(const char *tried, const char *name)
{
    size_t size = strlen(name);
    return strncmp(tried, name, size) == 0 && (tried[size] == '\0' || tried[size] == ':');
}

static bool has(struct points points, const char *name)
{
    for (size_t i = 0; i < points.count; i++) {
        if (is_same(points.names[i], name))
            return true;
    }
    return false;
}

static void check_known(struct points points)
{
    for (size_t i = 0; i < points.count; i++) {
        bool known = false;
        for (size_t j = 0; j < found_count; j++)
            known = known || is_same(points.names[i], found[j]);
        if (!known)
            fail_msg("no source has the crash point %s any more", points.names[i]);
    }
}

void points_check(const char *prefix, struct points here, struct points elsewhere)
{
    look_everywhere();
    for (size_t i = 0; i < found_count; i++) {
        if (strncmp(found[i], prefix, strlen(prefix)) == 0 && !has(here, found[i]) &&
            !has(elsewhere, found[i]))
            fail_msg("no test kills at the crash point %s", found[i]);
    }
    check_known(here);
    check_known(elsewhere);
}
