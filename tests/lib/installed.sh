# Troth installed from build/ into a folder of its own, as a newcomer has it: in PATH, and known to
# pkg-config and to the dynamic linker. Sourced after common.sh.
# shellcheck shell=bash

installed_create() { # FOLDER
    cmake --install "$TROTH_ROOT/build" --prefix "$1" >"$1.log" 2>&1 || { cat "$1.log"; return 1; }
    local libraries
    libraries=$(dirname "$(find "$1" -name 'libtroth.so')")
    export PATH=$1/bin:$1/sbin:$PATH
    export PKG_CONFIG_PATH=$libraries/pkgconfig LD_LIBRARY_PATH=$libraries
}
