add_executable(gateway_child gateway_child.c)
target_link_libraries(gateway_child PRIVATE berth_gateway)
foreach(subject jobs logs process steps)
    add_test(NAME test_gateway_${subject} COMMAND /usr/bin/python3
        ${CMAKE_CURRENT_SOURCE_DIR}/gateway_${subject}_test.py $<TARGET_FILE:gateway_child>)
    set_tests_properties(test_gateway_${subject} PROPERTIES LABELS integration TIMEOUT 240
        FAIL_REGULAR_EXPRESSION "ERROR: (Leak|Address|UndefinedBehavior)Sanitizer;runtime error:")
endforeach()
