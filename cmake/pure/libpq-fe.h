#error "pure code may not include <libpq-fe.h>: the world is reached through core/ports.h"
