#error "pure code may not include <nanomsg/reqrep.h>: the world is reached through core/ports.h"
