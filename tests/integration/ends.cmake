foreach(name ends engine pull)
    berth_test(NAME test_runner_${name} LABEL integration TIMEOUT 300
        SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_runner_${name}.c ${CMAKE_SOURCE_DIR}/tests/support/runner_rig.c
                ${CMAKE_SOURCE_DIR}/tests/support/fake_engine.c
        USES berth_runner)
    target_include_directories(test_runner_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/support)
    target_compile_definitions(test_runner_${name} PRIVATE BERTH_RUNNER_PATH="$<TARGET_FILE:berth-runner>")
    # Criterion 2.4.1 passes a test whose .fini fails, so its words decide here too.
    set_property(TEST test_runner_${name} APPEND PROPERTY FAIL_REGULAR_EXPRESSION "containers are left")
    add_dependencies(test_runner_${name} berth-runner)
endforeach()
