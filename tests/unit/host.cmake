berth_test(NAME test_subnet LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_subnet.c USES berth_net_check)
berth_test(NAME test_limits_pure LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_limits_pure.c USES berth_limits)
