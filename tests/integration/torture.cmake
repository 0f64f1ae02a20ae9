# For LD_PRELOAD, before the sanitizer's runtime and without it (tests/support/torture/torture.h).
set(support ${CMAKE_SOURCE_DIR}/tests/support)
add_library(torture SHARED ${support}/torture/torture.c ${support}/torture/torture_curl.c
    ${support}/torture/torture_libc.c ${support}/torture/torture_libpq.c ${support}/torture/torture_memory.c)
target_compile_options(torture PRIVATE -fno-sanitize=all -fno-builtin -Wno-shadow)
target_link_options(torture PRIVATE -fno-sanitize=all -shared-libgcc)
target_include_directories(torture PRIVATE
    $<TARGET_PROPERTY:PkgConfig::PQ,INTERFACE_INCLUDE_DIRECTORIES> $<TARGET_PROPERTY:PkgConfig::CURL,INTERFACE_INCLUDE_DIRECTORIES>)

# Points of a sample; all: BERTH_TORTURE_POINTS=all, as tests/faults/test_torture_all.py has it.
function(torture_test name)
    berth_test(NAME ${name} LABEL integration TIMEOUT 900 ${ARGN})
    target_compile_definitions(${name} PRIVATE TORTURE_LIBRARY="$<TARGET_FILE:torture>"
        TORTURE_LEAKS="${CMAKE_SOURCE_DIR}/tests/support/torture/leaks.supp"
        BERTH_RUNNER_PATH="$<TARGET_FILE:berth-runner>" BERTHD_PATH="$<TARGET_FILE:berthd>")
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
    add_dependencies(${name} berth-runner berthd torture)
endfunction()

torture_test(test_torture_runner USES berth_runner berth_limits
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_torture_runner.c ${support}/runner_rig.c ${support}/torture_rig.c)
set_property(TEST test_torture_runner APPEND PROPERTY FAIL_REGULAR_EXPRESSION "are left")
torture_test(test_torture_scribe USES berth_scribe test_support_pg_all
    SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_torture_scribe.c ${CMAKE_CURRENT_LIST_DIR}/scribe_world.c ${support}/torture_rig.c)
