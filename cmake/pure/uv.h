#error "pure code may not include <uv.h>: the world is reached through core/ports.h"
