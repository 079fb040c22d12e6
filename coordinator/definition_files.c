#include "coordinator/definition_files.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/check.h"
#include "core/limits.h"
#include "saga/definition.h"
#include "saga/lint.h"

static struct saga_plan *load(void *self, const char *file, const char *text, size_t size,
                              struct error *error)
{
    (void)self;
    return saga_definition_load(file, text, size, error);
}

static void free_plan(void *self, struct saga_plan *plan)
{
    (void)self;
    saga_plan_free(plan);
}

struct saga_loader definition_files_loader(void)
{
    return (struct saga_loader){NULL, load, free_plan};
}

void definition_files_changed(struct server *server, const struct folder_files *files)
{
    struct server_definition *definitions = xcalloc((size_t)files->count + 1, sizeof(*definitions));
    for (int i = 0; i < files->count; i++) {
        definitions[i].file = files->items[i].path;
        definitions[i].text = files->items[i].text;
        definitions[i].size = files->items[i].size;
    }
    (void)server_define(server, definitions, files->count); /* it has logged what it refused */
    free(definitions);
}

static void print(const struct saga_findings *findings)
{
    for (int i = 0; i < findings->count; i++) {
        bool warning = findings->items[i].severity == SAGA_WARNING;
        char *line = saga_finding_format(&findings->items[i]);
        fprintf(stderr, "%s%s\n", warning ? "warning: " : "", line);
        free(line);
    }
}

bool definition_files_check(const char *folder, struct error *error)
{
    struct folder_files files;
    struct saga_findings findings = {0};
    if (!folder_read(folder, LIMIT_SAGA_DEFINITION_BYTES, &files, error))
        return error_hint(error, "`sagas` names the folder of the sagas' definitions");
    struct saga_plan **plans = xcalloc((size_t)files.count + 1, sizeof(*plans));
    int count = 0;
    for (int i = 0; i < files.count; i++) {
        const struct folder_file *file = &files.items[i];
        plans[count] = saga_definition_read(file->path, file->text, file->size, &findings);
        count += plans[count] ? 1 : 0;
    }
    saga_lint(&(struct saga_lint){.plans = plans, .plan_count = count, .whole = true}, &findings);
    saga_findings_sort(&findings);
    print(&findings);
    if (findings.mistakes)
        error_set(error, ERROR_USAGE, "%s: %d mistake%s in the definitions of sagas", folder,
                  findings.mistakes, findings.mistakes == 1 ? "" : "s");
    bool good = findings.mistakes == 0;
    for (int i = 0; i < count; i++)
        saga_plan_free(plans[i]);
    free(plans);
    saga_findings_fini(&findings);
    folder_files_fini(&files);
    return good;
}
