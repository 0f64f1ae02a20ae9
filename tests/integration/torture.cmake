# For LD_PRELOAD, before the sanitizer's runtime and without it (tests/support/torture/torture.h).
set(support ${CMAKE_SOURCE_DIR}/tests/support)
add_library(torture SHARED ${support}/torture/torture.c ${support}/torture/torture_curl.c
    ${support}/torture/torture_libc.c ${support}/torture/torture_libpq.c ${support}/torture/torture_memory.c)
target_compile_options(torture PRIVATE -fno-sanitize=all -fno-builtin -Wno-shadow)
target_link_options(torture PRIVATE -fno-sanitize=all -shared-libgcc)
target_include_directories(torture PRIVATE
    $<TARGET_PROPERTY:PkgConfig::PQ,INTERFACE_INCLUDE_DIRECTORIES> $<TARGET_PROPERTY:PkgConfig::CURL,INTERFACE_INCLUDE_DIRECTORIES>)

berth_test(NAME test_torture_runner LABEL integration TIMEOUT 300
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_torture_runner.c ${support}/runner_rig.c ${support}/torture_rig.c
    USES berth_runner berth_limits)
target_include_directories(test_torture_runner PRIVATE ${support})
target_compile_definitions(test_torture_runner PRIVATE BERTH_RUNNER_PATH="$<TARGET_FILE:berth-runner>"
    TORTURE_LIBRARY="$<TARGET_FILE:torture>" TORTURE_LEAKS="${support}/torture/leaks.supp")
set_property(TEST test_torture_runner APPEND PROPERTY FAIL_REGULAR_EXPRESSION "are left")
add_dependencies(test_torture_runner berth-runner torture)
