# runner/init and the spool's codec. init_job is what the static berth-init is given to run.
add_executable(init_job ${CMAKE_CURRENT_LIST_DIR}/init_job.c)

berth_test(NAME test_spool LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_spool.c USES berth_init)
berth_test(NAME test_init_parts LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_init_parts.c USES berth_init)
berth_test(NAME test_init_ready LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_init_ready.c USES berth_init)
berth_test(NAME test_init_run LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_init_run.c USES berth_init)
target_compile_definitions(test_init_run PRIVATE INIT_PATH="$<TARGET_FILE:berth-init>" JOB_PATH="$<TARGET_FILE:init_job>")
add_dependencies(test_init_run berth-init init_job)
