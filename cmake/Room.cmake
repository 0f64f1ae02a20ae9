# berth_room(NAME SOURCES … USES …): a folder is a module is a static library `berth_NAME`.
function(berth_room name)
    cmake_parse_arguments(ROOM "" "" "SOURCES;USES" ${ARGN})
    add_library(berth_${name} STATIC ${ROOM_SOURCES})
    target_include_directories(berth_${name} PUBLIC ${CMAKE_SOURCE_DIR})
    target_link_libraries(berth_${name} PUBLIC ${ROOM_USES})
endfunction()

# berth_test(NAME test_x LABEL unit SOURCES … USES …): one Criterion program a module. Criterion 2.4.1 passes a
# test that leaks, so the sanitizer's own words decide.
function(berth_test)
    cmake_parse_arguments(T "" "NAME;LABEL;TIMEOUT" "SOURCES;USES" ${ARGN})
    add_executable(${T_NAME} ${T_SOURCES})
    target_link_libraries(${T_NAME} PRIVATE ${T_USES} PkgConfig::CRITERION)
    # Criterion's macros declare what these warnings dislike.
    target_compile_options(${T_NAME} PRIVATE -Wno-missing-prototypes -Wno-conversion -Wno-shadow)
    add_test(NAME ${T_NAME} COMMAND ${T_NAME} --verbose=0)
    if(NOT T_TIMEOUT)
        set(T_TIMEOUT 60)
    endif()
    set_tests_properties(${T_NAME} PROPERTIES LABELS ${T_LABEL} TIMEOUT ${T_TIMEOUT}
        FAIL_REGULAR_EXPRESSION "ERROR: (Leak|Address|UndefinedBehavior)Sanitizer;runtime error:")
endfunction()

# berth_fuzz(NAME fuzz_x SOURCES … USES …): with BERTH_FUZZ a libFuzzer program, else one that runs every file of
# tests/fuzz/corpus/fuzz_x once, which the tests do.
function(berth_fuzz)
    cmake_parse_arguments(F "" "NAME" "SOURCES;USES" ${ARGN})
    set(corpus ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${F_NAME})
    if(BERTH_FUZZ)
        set(corpus -runs=0 ${corpus})
        add_executable(${F_NAME} ${F_SOURCES})
        target_compile_options(${F_NAME} PRIVATE -fsanitize=fuzzer)
        target_link_options(${F_NAME} PRIVATE -fsanitize=fuzzer)
    else()
        add_executable(${F_NAME} ${F_SOURCES} ${CMAKE_SOURCE_DIR}/tests/fuzz/standalone.c)
    endif()
    target_link_libraries(${F_NAME} PRIVATE ${F_USES})
    target_compile_options(${F_NAME} PRIVATE -Wno-missing-prototypes)
    add_test(NAME ${F_NAME} COMMAND ${F_NAME} ${corpus})
    set_tests_properties(${F_NAME} PROPERTIES LABELS fuzz TIMEOUT 60
        FAIL_REGULAR_EXPRESSION "ERROR: (Leak|Address|UndefinedBehavior)Sanitizer;runtime error:")
endfunction()
