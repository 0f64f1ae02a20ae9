foreach(name net net_taken limits probe_host)
    berth_test(NAME test_${name} LABEL integration TIMEOUT 180
        SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${name}.c ${CMAKE_SOURCE_DIR}/tests/support/runner_rig.c
            ${CMAKE_SOURCE_DIR}/tests/support/fake_engine.c
        USES berth_net berth_limits berth_runner)
    target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
    target_compile_definitions(test_${name} PRIVATE BERTH_RUNNER_PATH="$<TARGET_FILE:berth-runner>")
    set_property(TEST test_${name} APPEND PROPERTY FAIL_REGULAR_EXPRESSION "are left")
    # The filter's rules and the probe of others would come in between.
    set_property(TEST test_${name} PROPERTY RUN_SERIAL TRUE)
    add_dependencies(test_${name} berth-runner)
endforeach()
berth_test(NAME test_slice LABEL integration SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_slice.c USES berth_limits)
