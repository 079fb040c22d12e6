/* Runs a fuzz target on every file of its corpus, or on the files that are named, one TAP line a
 * file. The target crashes or aborts when it finds something, so a line that is missing names it.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static int run_file(const char *path, const char *name, int number)
{
    FILE *file = fopen(path, "rb");
    struct stat facts;
    if (!file || fstat(fileno(file), &facts) != 0) {
        printf("not ok %d - %s\n# cannot read %s\n", number, name, path);
        return 1;
    }
    /* Exactly as large as the input, so that a sanitizer sees a read behind its end. */
    size_t size = (size_t)facts.st_size;
    uint8_t *bytes = xmalloc(size);
    CHECK(fread(bytes, 1, size, file) == size);
    fclose(file);
    fprintf(stderr, "# %s\n", name);
    LLVMFuzzerTestOneInput(bytes, size);
    free(bytes);
    printf("ok %d - %s\n", number, name);
    fflush(stdout);
    return 0;
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int run_corpus(void)
{
    struct dirent **entries;
    int count = scandir(CORPUS, &entries, is_input, alphasort), failed = 0;
    if (count <= 0) {
        printf("1..1\nnot ok 1 - the corpus %s is there\n", CORPUS);
        return 1;
    }
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        char *path = xasprintf("%s/%s", CORPUS, entries[i]->d_name);
        failed += run_file(path, entries[i]->d_name, i + 1);
        free(path);
        free(entries[i]);
    }
    free(entries);
    return failed > 0;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return run_corpus();
    int failed = 0;
    printf("1..%d\n", argc - 1);
    for (int i = 1; i < argc; i++)
        failed += run_file(argv[i], argv[i], i);
    return failed > 0;
}
