foreach(subject address buf clock config ctx err fdutil id lock log nearest units utf8)
    berth_test(NAME test_${subject} LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${subject}.c USES berth_base)
endforeach()
berth_test(NAME test_fault LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_fault.c USES berth_proto berth_base)
