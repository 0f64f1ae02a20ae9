add_test(NAME test_client_server COMMAND /usr/bin/python3
    ${CMAKE_CURRENT_SOURCE_DIR}/client_test.py $<TARGET_FILE:berth>)
set_tests_properties(test_client_server PROPERTIES LABELS integration TIMEOUT 240)
