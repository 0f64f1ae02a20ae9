add_executable(gateway_child gateway_child.c)
target_link_libraries(gateway_child PRIVATE berth_gateway)
add_test(NAME test_gateway COMMAND /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/gateway_test.py
    $<TARGET_FILE:gateway_child> ${CMAKE_SOURCE_DIR})
set_tests_properties(test_gateway PROPERTIES LABELS integration TIMEOUT 240
    FAIL_REGULAR_EXPRESSION "ERROR: (Leak|Address|UndefinedBehavior)Sanitizer;runtime error:")
