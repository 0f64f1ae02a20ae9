# runner/init and the spool's codec. init_job is what the static berth-init is given to run.
add_executable(init_job ${CMAKE_CURRENT_LIST_DIR}/init_job.c)

berth_test(NAME test_spool LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_spool.c USES berth_init)
berth_test(NAME test_init_parts LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_init_parts.c USES berth_init)
berth_test(NAME test_init_ready LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_init_ready.c USES berth_init)
foreach(name test_init_run test_init_output)
    berth_test(NAME ${name} LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/${name}.c ${CMAKE_CURRENT_LIST_DIR}/init_rig.c USES berth_init)
    target_compile_definitions(${name} PRIVATE INIT_PATH="$<TARGET_FILE:berth-init>" JOB_PATH="$<TARGET_FILE:init_job>")
    add_dependencies(${name} berth-init init_job)
endforeach()
