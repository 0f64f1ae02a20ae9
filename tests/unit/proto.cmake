foreach(subject attempt control journal labels message message_parse pulled retry spec spec_faults spec_hostile spec_image
        spec_parts status stream)
    berth_test(NAME test_${subject} LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${subject}.c USES berth_proto)
endforeach()

# The machine-readable contract says the same as the code.
berth_test(NAME test_spec_schema LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_spec_schema.c USES berth_proto)
target_compile_definitions(test_spec_schema PRIVATE BERTH_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
add_test(NAME lint_openapi
    COMMAND /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/lint_openapi.py ${CMAKE_SOURCE_DIR})
set_tests_properties(lint_openapi PROPERTIES LABELS lint TIMEOUT 60)
