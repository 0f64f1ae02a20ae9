foreach(name verdict_figures witness deadlines orders patience)
    berth_test(NAME test_${name} LABEL unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_${name}.c USES berth_runner)
endforeach()
