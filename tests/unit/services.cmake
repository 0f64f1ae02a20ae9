berth_test(NAME test_tail LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_tail.c USES berth_runner)
