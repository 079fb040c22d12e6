# troth::troth is the library, with libpq, whose types stand in its header.
include(CMakeFindDependencyMacro)
find_dependency(PkgConfig)
pkg_check_modules(TROTH_LIBPQ REQUIRED IMPORTED_TARGET GLOBAL libpq)
include(${CMAKE_CURRENT_LIST_DIR}/troth-targets.cmake)
target_link_libraries(troth::troth INTERFACE PkgConfig::TROTH_LIBPQ)
