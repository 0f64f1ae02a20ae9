foreach(subject attempt control journal labels message message_parse spec spec_faults spec_image status)
    berth_test(NAME test_${subject} LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${subject}.c USES berth_proto)
endforeach()
