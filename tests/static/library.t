#!/bin/bash
# The installed library, as a program finds it that was never in this repository: its names, its
# header in other dialects, pkg-config, CMake, and the programs in docs/library.md.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
. "$TROTH_ROOT/tests/lib/tap.sh"
at_exit_setup

build=${TROTH_BUILD:-$TROTH_ROOT/build}
folder=$(mktemp -d)
at_exit "rm -rf '$folder'"
prefix=$folder/installed
cd "$folder"

installs() {
    DESTDIR='' cmake --install "$build" --prefix "$prefix" >/dev/null
    pc=$(find "$prefix" -name troth.pc)
    [[ $pc ]] && echo "${pc%/*}" >pkgconfig
}

flags() { PKG_CONFIG_PATH=$(<pkgconfig) pkg-config "$@" troth; }
library() { find "$prefix" -name libtroth.so.0; }

exports_only_its_names() {
    local others
    others=$(nm -D --defined-only "$(library)" | awk '{print $3}' | grep -v '^troth_' || true)
    [[ -z $others ]] || { echo "$others"; return 1; }
    nm -D --defined-only "$(library)" | grep -qw troth_submit
}

# Each function that the header declares is there.
has_what_the_header_declares() {
    local name missing=
    for name in $(grep -v '^typedef' "$prefix/include/troth.h" | grep -oE '\btroth_[a-z_]+\(' | tr -d '(' | sort -u); do
        nm -D --defined-only "$(library)" | grep -qw "$name" || missing+=" $name"
    done
    [[ -z $missing ]] || { echo "missing:$missing"; return 1; }
}

has_a_soname() { readelf -d "$(library)" | grep -q 'SONAME.*\[libtroth\.so\.0\]'; }

compiles_as() {
    local compiler=$1 standard=$2 suffix=$3
    echo '#include <troth.h>' >"header.$suffix"
    echo 'const char *version(void); const char *version(void) { return troth_version(); }' >>"header.$suffix"
    # shellcheck disable=SC2046 # flags are words
    "$compiler" -std="$standard" -pedantic -Wall -Wextra -Werror -fsyntax-only $(flags --cflags) "header.$suffix"
}

# The C programs of the document, each a file of its own.
extract() {
    awk '/^```c$/ {n++; file = "example" n ".c"; next} /^```$/ {file = ""; next} file {print > file}' \
        "$TROTH_ROOT/docs/library.md"
    [[ -s example1.c && -s example2.c ]]
}

examples_compile() {
    local file
    for file in example*.c; do
        # shellcheck disable=SC2046
        cc -std=c99 -Wall -Wextra -Werror "$file" -o "${file%.c}" $(flags --cflags --libs) || return 1
    done
}

# It runs with the library that was installed, and says by itself that nobody is there.
example_runs() {
    local said
    (($(wc -l <example1.c) < 60)) || { echo "it has more than 60 lines"; return 1; }
    said=$(LD_LIBRARY_PATH=$(dirname "$(library)") TROTH_COORDINATOR=tcp://127.0.0.1:1 \
        timeout 20 ./example1 'dbname=none' 'dbname=none' 2>&1) && return 1
    [[ $said == "unavailable no_coordinator: "* ]] || { echo "$said"; return 1; }
}

paths_are_found() {
    [[ -f $(flags --variable=schema) && -f $(flags --variable=messages) ]] &&
        [[ -x $(flags --variable=bindir)/troth && -x $(flags --variable=sbindir)/trothd ]] &&
        [[ $(flags --modversion) == "$("$prefix/bin/troth" --version | grep -oE '[0-9]+(\.[0-9]+)+')" ]]
}

cmake_finds_it() {
    mkdir -p project
    cat >project/CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.20)
project(example LANGUAGES C)
find_package(troth 0.1 REQUIRED)
add_executable(example ../example1.c)
target_link_libraries(example PRIVATE troth::troth)
CMAKE
    { cmake -S project -B project/build -DCMAKE_PREFIX_PATH="$prefix" &&
        cmake --build project/build; } >project/log 2>&1 || { tail -20 project/log; return 1; }
    grep libtroth.so.0 <<<"$(ldd project/build/example)" >/dev/null
}

ok "it is installed" installs
ok "it exports names of its own only" exports_only_its_names
ok "what the header declares is there" has_what_the_header_declares
ok "it has a SONAME" has_a_soname
ok "its header is C99" compiles_as cc c99 c
ok "its header is C17" compiles_as cc c17 c
if have c++; then ok "its header is C++" compiles_as c++ c++11 cc; fi
ok "the programs are taken out of docs/library.md" extract
ok "they compile with pkg-config's flags" examples_compile
ok "the client has less than 60 lines, and tells that nobody is there" example_runs
ok "pkg-config tells where its files are" paths_are_found
ok "CMake finds it" cmake_finds_it
done_testing
