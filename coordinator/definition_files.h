/* The folder of sagas' definitions of trothd: what lies in it, checked or handed to the server. */
#ifndef TROTH_COORDINATOR_DEFINITION_FILES_H
#define TROTH_COORDINATOR_DEFINITION_FILES_H

#include <stdbool.h>

#include "coordinator/server.h"
#include "core/error.h"
#include "io/folder.h"

struct saga_loader definition_files_loader(void);
/* To be called whenever the folder changed. */
void definition_files_changed(struct server *server, const struct folder_files *files);
/* For --check-config: prints every mistake and warning, a line each. False with an error when there
 * is a mistake; what was printed tells more. */
bool definition_files_check(const char *folder, struct error *error);

#endif
