berth_fuzz(NAME fuzz_spool SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_spool.c USES berth_init)
berth_fuzz(NAME fuzz_launch SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_launch.c USES berth_init)
berth_fuzz(NAME fuzz_registry_auth SOURCES ${CMAKE_CURRENT_LIST_DIR}/fuzz_registry_auth.c USES berth_runner)
